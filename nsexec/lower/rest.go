package lower

import (
	"reflect"

	"github.com/opencontainers/runc/libcontainer/configs"

	"github.com/flake-launcher/flake-launcher/nsexec/config"
	initproc "github.com/flake-launcher/flake-launcher/nsexec/init"
)

// nothingLeft refuses what no step has taken, by the name of the field: also what a newer libcontainer adds.
func (l *lowering) nothingLeft() error {
	if name := firstField(l.left); name != "" {
		return &UnsupportedError{name}
	}
	return nil
}

// firstField names the first field of a struct that is set.
func firstField(v any) string {
	s := reflect.ValueOf(v)
	for i := range s.NumField() {
		if !empty(s.Field(i)) {
			return s.Type().Field(i).Name
		}
	}
	return ""
}

func isZero(v any) bool { return firstField(v) == "" }

// empty counts a list or map without elements as not set.
func empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		return v.Len() == 0
	case reflect.Struct:
		for i := range v.NumField() {
			if !empty(v.Field(i)) {
				return false
			}
		}
		return true
	}
	return v.IsZero()
}

func capabilities(c *configs.Capabilities) (out initproc.Caps, err error) {
	if c == nil {
		return out, &UnsupportedError{"a start that keeps all capabilities"}
	}
	for _, s := range []struct {
		names []string
		bits  *uint64
	}{
		{c.Bounding, &out.Bounding}, {c.Effective, &out.Effective}, {c.Permitted, &out.Permitted},
		{c.Inheritable, &out.Inheritable}, {c.Ambient, &out.Ambient},
	} {
		for _, name := range s.names {
			bit, ok := config.CapabilityBit(name)
			if !ok {
				return out, &UnsupportedError{"capability " + name}
			}
			*s.bits |= 1 << bit
		}
	}
	return out, nil
}
