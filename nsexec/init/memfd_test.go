package initproc

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// Memory files count as files: to write one that is too large would be the launcher's death, without a word.
func TestSealedBeyondTheLimit(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	low := limit
	low.Cur = 3
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &low); err != nil {
		t.Fatal(err)
	}
	_, long := Sealed("long", []byte("four"), false)
	f, short := Sealed("short", []byte("one"), false)
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	var e *SizeLimitError
	if !errors.As(long, &e) || e.Remedy() == "" || short != nil {
		t.Errorf("%v, %v", long, short)
	}
	f.Close()
}
