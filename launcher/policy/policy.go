package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/flake-launcher/flake-launcher/hostlink"
)

// File is where the policy is; there is none of a user's own.
const File = "/etc/flake-launcher/policy.yaml"

// builtinDeny is denied whatever the file says: secrets that are world-readable by mistake on some host, or lie in a place
// that the file allows. Password hashes are never linked at all, see hostlink.
var builtinDeny = []string{
	"etc/shadow*", "etc/gshadow*", "etc/sudoers", "etc/sudoers.d/**",
	"etc/ssl/private/**", "etc/pki/**/private/**", "etc/ssh/*_key", "etc/letsencrypt/**",
	"**/private/**/*.pem", "**/private/**/*.key",
	"**/.ssh/**", "**/.gnupg/**", "root/**",
}

// Image is an image as a policy knows it: all its names, that in the flake among them, and the manifest's digest.
type Image struct {
	Names  []string
	Digest string
}

// Policy is one file. The zero value, which nil is too, is what counts without a file.
type Policy struct {
	file     string
	images   []entry
	standard entry
}

// Rules are what the policy says of one image.
type Rules struct {
	hostFiles, systemFiles answer
	allow                  *hostlink.Patterns // nil: what everybody may read
	deny                   []*hostlink.Patterns
	// where names the entry, for reasons.
	where string
}

// For returns the rules for an image: those of the first entry that means it, completed by the default entry's. Denied
// patterns add up.
func (p *Policy) For(img Image) *Rules {
	if p == nil {
		p = &Policy{}
	}
	r := &Rules{where: "the default policy", deny: []*hostlink.Patterns{builtin()}}
	r.add(&p.standard)
	for i := range p.images {
		if e := &p.images[i]; e.means(img) {
			r.add(e)
			r.where = fmt.Sprintf("%s:%d", p.file, e.line)
			return r
		}
	}
	if p.standard.line > 0 {
		r.where = fmt.Sprintf("%s:%d", p.file, p.standard.line)
	}
	return r
}

// add lays an entry over what is there.
func (r *Rules) add(e *entry) {
	if e.HostFiles != "" {
		r.hostFiles = e.HostFiles
	}
	if e.SystemFiles != "" {
		r.systemFiles = e.SystemFiles
	}
	if e.Allow.given {
		r.allow = e.Allow.set
	}
	if e.Deny.given {
		r.deny = append(r.deny, e.Deny.set, e.Deny.below)
	}
}

// AllowsHostFiles says whether the image may ask for files of the host at all; reason is why not.
func (r *Rules) AllowsHostFiles() (ok bool, reason string) {
	if r.hostFiles == deny {
		return false, "the image may not ask for host files: " + r.where
	}
	return true, ""
}

// AllowsSystemFiles says whether the image's script may be run to print what it asks for; reason is why not.
func (r *Rules) AllowsSystemFiles() (ok bool, reason string) {
	if ok, reason := r.AllowsHostFiles(); !ok {
		return false, reason
	}
	if r.systemFiles == deny {
		return false, "the image's " + hostlink.SystemFiles + " may not be run: " + r.where
	}
	return true, ""
}

// Refuse says why the image may not have a file of the host, "" if it may.
func (r *Rules) Refuse(f hostlink.HostFile) string {
	if ok, reason := r.AllowsHostFiles(); !ok {
		return reason
	}
	names := []string{f.Source, f.Path, f.Target}
	for i, path := range names {
		if slices.Contains(names[:i], path) {
			continue
		}
		for _, set := range r.deny {
			if pattern, hit := set.Match(path); hit {
				return fmt.Sprintf("denied by the pattern %q: %s", pattern, r.where)
			}
		}
	}
	switch {
	case r.allow == nil && !f.Public:
		return "not every user of this host may read it: " + r.where
	case r.allow == nil:
		return ""
	}
	if _, hit := r.allow.Match(f.Source); !hit {
		return "no pattern allows it: " + r.where
	}
	return ""
}

// means says whether the entry is for that image. A pattern without a tag means all tags.
func (e *entry) means(img Image) bool {
	if _, hit := e.Image.set.Match(img.Digest); hit {
		return true
	}
	for _, name := range img.Names {
		if _, hit := e.Image.set.Match(name); hit {
			return true
		}
		if _, hit := e.Image.set.Match(untagged(name)); hit {
			return true
		}
	}
	return false
}

// untagged is a name without tag and digest. The colon of a registry's port comes before the last slash.
func untagged(name string) string {
	name, _, _ = strings.Cut(name, "@")
	last := strings.LastIndexByte(name, '/') + 1
	base, _, _ := strings.Cut(name[last:], ":")
	return name[:last] + base
}

func builtin() *hostlink.Patterns {
	set, err := hostlink.ParsePatterns(builtinDeny)
	if err != nil {
		panic(err) // constants, and a test reads them
	}
	return set
}
