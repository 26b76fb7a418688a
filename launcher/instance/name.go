package instance

import (
	"fmt"
	"strings"
)

// Name is that of one instance of a flake; Instance is empty for the one that a plain call means.
type Name struct{ Flake, Instance string }

// String is FLAKE or FLAKE@INSTANCE.
func (n Name) String() string {
	if n.Instance == "" {
		return n.Flake
	}
	return n.Flake + "@" + n.Instance
}

// MaxName is the longest name of an instance.
const MaxName = 64

// NameError says that an instance can't be named so.
type NameError struct{ Name, Reason string }

func (e *NameError) Error() string {
	return fmt.Sprintf("instance name %q: %s", clip(e.Name), e.Reason)
}

// Remedy implements the CLI's second line.
func (e *NameError) Remedy() string {
	return fmt.Sprintf("take up to %d letters, digits and characters of \"_-=.@\", beginning with a letter or digit", MaxName)
}

func clip(s string) string {
	if len(s) > MaxName {
		return s[:MaxName] + "…"
	}
	return s
}

// CheckName refuses what can't be the name of an instance; the empty name is none.
func CheckName(name string) error {
	switch {
	case name == "":
		return &NameError{name, "it is empty"}
	case len(name) > MaxName:
		return &NameError{name, fmt.Sprintf("it has %d characters", len(name))}
	case !isAlnum(name[0]):
		return &NameError{name, "it does not begin with a letter or digit"}
	}
	for i := range len(name) {
		if !isAlnum(name[i]) && !strings.ContainsRune("_-=.@", rune(name[i])) {
			return &NameError{name, fmt.Sprintf("%q is not allowed in it", name[i:i+1])}
		}
	}
	return nil
}

func isAlnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// maxFile is the longest name of a file.
const maxFile = 255

const hexDigits = "0123456789ABCDEF"

// file is the name of the instance's directory: the flake's, with what is special as %XX, and the instance's behind @.
func (n Name) file() (string, error) {
	if n.Instance != "" {
		if err := CheckName(n.Instance); err != nil {
			return "", err
		}
	}
	var b strings.Builder
	for i := range len(n.Flake) {
		c := n.Flake[i]
		if isAlnum(c) || c == '_' || c == '-' || c == '.' && i > 0 {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', hexDigits[c>>4], hexDigits[c&15]})
	}
	if n.Instance != "" {
		b.WriteString("@" + n.Instance)
	}
	if n.Flake == "" || b.Len() > maxFile {
		return "", fmt.Errorf("keep an instance of flake %q: its name is too long", clip(n.Flake))
	}
	return b.String(), nil
}

// parseFile undoes file, and refuses what file does not produce.
func parseFile(name string) (n Name, ok bool) {
	escaped, inst, _ := strings.Cut(name, "@")
	var b strings.Builder
	for i := 0; i < len(escaped); i++ {
		if escaped[i] != '%' {
			b.WriteByte(escaped[i])
			continue
		}
		if i+2 >= len(escaped) {
			return n, false
		}
		hi, lo := strings.IndexByte(hexDigits, escaped[i+1]), strings.IndexByte(hexDigits, escaped[i+2])
		if hi < 0 || lo < 0 {
			return n, false
		}
		b.WriteByte(byte(hi<<4 | lo))
		i += 2
	}
	n = Name{b.String(), inst}
	again, err := n.file()
	return n, err == nil && again == name
}
