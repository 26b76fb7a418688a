package instance

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/nsexec"
)

// Config is what an instance was made from. A start writes it before it makes the container; later ones enter by it,
// whatever their own plan says of rights: a container keeps what it was made with, until it ends.
type Config struct {
	Name
	// Kept is one of plan.Kept*.
	Kept string
	// Created is when the container was made, in seconds since the epoch.
	Created int64
	// Stack are the ids of the layers of its images, topmost first: what the writable part belongs to.
	Stack []string
	// Digests are the manifest digests of its images, base first, which a collection must not take.
	Digests []string
	// Searched are the directories that the flake was found in; empty for a start that nothing registers.
	Searched []string
	Rights   nsexec.Rights
}

// StackOf gives the ids of the layers of a plan's images. What the planner adds on top is derived, comes and goes with
// the host's files, and is no part of what a writable part depends on.
func StackOf(p *plan.Plan) []string {
	var out []string
	derived := filepath.Join(p.Store, "hostlayers") + "/"
	for _, dir := range p.Lower {
		if !strings.HasPrefix(dir, derived) {
			out = append(out, filepath.Base(dir))
		}
	}
	return slices.Compact(out) // a layer of root's store can lie in two parts
}

const configHead = "flake-instance 1\n"

// errDamaged is returned for what Encode has not written.
var errDamaged = errors.New("it is damaged, or of another version")

// encode writes fields as `KEY LENGTH\nVALUE\n`, a list as one field for each element.
func (c *Config) encode() []byte {
	b := []byte(configHead)
	add := func(key string, values ...string) {
		for _, v := range values {
			b = fmt.Appendf(b, "%s %d\n%s\n", key, len(v), v)
		}
	}
	number := func(key string, values ...uint32) {
		for _, v := range values {
			add(key, strconv.FormatUint(uint64(v), 10))
		}
	}
	add("flake", c.Flake)
	add("instance", c.Instance)
	add("kept", c.Kept)
	add("created", strconv.FormatInt(c.Created, 10))
	add("stack", c.Stack...)
	add("digest", c.Digests...)
	add("searched", c.Searched...)
	number("namespaces", c.Rights.Namespaces)
	number("uid", c.Rights.UID)
	number("gid", c.Rights.GID)
	if c.Rights.Groups != nil {
		add("groups", string(words(c.Rights.Groups)))
	}
	add("rights", string(c.Rights.Ops))
	for _, f := range c.Rights.Filters {
		add("filter", string(f))
	}
	add("end", "")
	return b
}

func words(v []uint32) (out []byte) {
	for _, w := range v {
		out = binary.LittleEndian.AppendUint32(out, w)
	}
	return out
}

// decodeConfig is the inverse of encode.
func decodeConfig(b []byte) (*Config, error) {
	rest, ok := bytes.CutPrefix(b, []byte(configHead))
	c := &Config{}
	for ok {
		var head, value []byte
		head, rest, ok = bytes.Cut(rest, []byte("\n"))
		key, length, _ := bytes.Cut(head, []byte(" "))
		n, err := strconv.Atoi(string(length))
		if !ok || err != nil || n < 0 || n >= len(rest) || rest[n] != '\n' {
			return nil, errDamaged
		}
		value, rest = rest[:n], rest[n+1:]
		if string(key) == "end" {
			return c, nil
		}
		if err := c.set(string(key), value); err != nil {
			return nil, errDamaged
		}
	}
	return nil, errDamaged
}

// set takes one field; a key that it does not know is a later version's, and not for us to leave out.
func (c *Config) set(key string, value []byte) (err error) {
	number := func(into *uint32) {
		var n uint64
		n, err = strconv.ParseUint(string(value), 10, 32)
		*into = uint32(n)
	}
	r := &c.Rights
	switch key {
	case "flake":
		c.Flake = string(value)
	case "instance":
		c.Instance = string(value)
	case "kept":
		c.Kept = string(value)
	case "created":
		c.Created, err = strconv.ParseInt(string(value), 10, 64)
	case "stack":
		c.Stack = append(c.Stack, string(value))
	case "digest":
		c.Digests = append(c.Digests, string(value))
	case "searched":
		c.Searched = append(c.Searched, string(value))
	case "namespaces":
		number(&r.Namespaces)
	case "uid":
		number(&r.UID)
	case "gid":
		number(&r.GID)
	case "groups":
		r.Groups = []uint32{}
		for ; len(value) >= 4; value = value[4:] {
			r.Groups = append(r.Groups, binary.LittleEndian.Uint32(value))
		}
	case "rights":
		r.Ops = slices.Clone(value)
	case "filter":
		r.Filters = append(r.Filters, slices.Clone(value))
	default:
		return errDamaged
	}
	return err
}
