/* Reading the records of a section. Its checksum was right, so what does not fit is only left to others. */
#include "front.h"

int next_record(const struct start *s, uint32_t kind, char **at, struct part *out)
{
	char *end = s->section + s->size, *p = s->section;
	uint32_t head[2];

	if (*at)
		p = *at;
	while (end - p >= 8) {
		memcpy(head, p, 8);
		if (head[1] > (size_t)(end - p - 8))
			return 0;
		out->p = p + 8;
		out->size = head[1];
		p += 8 + (((size_t)head[1] + 7) & ~(size_t)7);
		if (p > end)
			p = end;
		*at = p;
		if (head[0] == kind || !kind)
			return head[0];
	}
	return 0;
}

/* "" where there is no more. */
const char *take_text(struct part *p)
{
	char *s = p->p, *nul = memchr(s, '\0', p->size);

	if (!nul)
		return "";
	p->size -= nul + 1 - s;
	p->p = nul + 1;
	return s;
}

static void take(struct part *p, void *v, uint32_t n)
{
	memset(v, 0, n);
	if (p->size < n)
		return;
	memcpy(v, p->p, n);
	p->p += n;
	p->size -= n;
}

uint64_t take64(struct part *p)
{
	uint64_t v;

	take(p, &v, sizeof(v));
	return v;
}

uint32_t take32(struct part *p)
{
	uint32_t v;

	take(p, &v, sizeof(v));
	return v;
}

int strings(struct part p, struct words *out)
{
	uint32_t i, n = 0;

	for (i = 0; i < p.size; i++)
		n += p.p[i] == '\0';
	out->v = calloc(n + 1, sizeof(*out->v));
	out->n = n;
	if (!out->v)
		return 0;
	for (i = 0; i < n; i++)
		out->v[i] = take_text(&p);
	return 1;
}

int within(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return !strcmp(dir, "/") || (!strncmp(path, dir, n) && (path[n] == '\0' || path[n] == '/'));
}
