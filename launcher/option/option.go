// Package option owns the words of --opt: podman's create options, as flake-pilot's registrations have them.
//
// So far it only takes them off the command line; both command lines do it alike. Entry point: List.
package option

import (
	"fmt"

	"github.com/alecthomas/kong"
)

// List is the values of a repeated flag, each taken as it is: podman's options begin with a dash and hold
// commas and blanks, which kong would otherwise take for flags of its own.
type List []string

var _ kong.MapperValue = (*List)(nil)

// Decode appends the next word, whatever it looks like.
func (l *List) Decode(ctx *kong.DecodeContext) error {
	token := ctx.Scan.Pop()
	if token.IsEOL() {
		return fmt.Errorf("--%s: a value is missing", ctx.Value.Name)
	}
	*l = append(*l, fmt.Sprint(token.Value))
	return nil
}
