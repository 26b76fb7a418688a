//go:build !cgo

package front

// Ignored are the signals that the caller of this process has it ignore; without C nobody knows.
func Ignored() uint64 { return 0 }
