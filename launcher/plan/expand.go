package plan

import "strings"

// Expand replaces each %NAME in s by the caller's variable of that name, once: what comes in is not looked at again. A %
// that no name follows stays. missing is the first name that is not set; it is replaced by nothing.
func Expand(s string, lookup func(name string) (string, bool)) (out, missing string) {
	if strings.IndexByte(s, '%') < 0 {
		return s, ""
	}
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '%')
		if i < 0 {
			b.WriteString(s)
			return b.String(), missing
		}
		n := nameLength(s[i+1:])
		b.WriteString(s[:i])
		if n == 0 {
			b.WriteByte('%')
			s = s[i+1:]
			continue
		}
		name := s[i+1 : i+1+n]
		value, ok := lookup(name)
		if !ok && missing == "" {
			missing = name
		}
		b.WriteString(value)
		s = s[i+1+n:]
	}
}

// nameLength is that of the variable's name ([A-Za-z_][A-Za-z0-9_]*) that s begins with.
func nameLength(s string) int {
	for i := range len(s) {
		switch c := s[i]; {
		case c == '_', c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', i > 0 && c >= '0' && c <= '9':
		default:
			return i
		}
	}
	return len(s)
}
