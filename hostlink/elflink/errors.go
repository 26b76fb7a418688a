package elflink

import "fmt"

// LimitError reports files that are more, or larger, than anything that is meant to be used.
type LimitError struct {
	What  string
	Limit int
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("find libraries: more than %d %s", e.Limit, e.What)
}

// Remedy tells the user what to do about it.
func (e *LimitError) Remedy() string {
	return "use an image that was built from packages, or leave the libraries alone: host_files: {deps: files}"
}

var _ error = (*LimitError)(nil)
