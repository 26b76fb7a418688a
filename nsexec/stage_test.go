package nsexec

import (
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What a stage inherits is held by nothing else once the list of operations is written: a garbage collection between
// that and the exec must not close it.
func TestStageHoldsWhatItInherits(t *testing.T) {
	fd := -1
	st, err := newStage([]byte("list"), func() []*os.File {
		f, err := os.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		fd = int(f.Fd())
		return []*os.File{f}
	}())
	if err != nil {
		t.Fatal(err)
	}
	for range 5 { // a file is closed by a goroutine of its own, some time after the collection
		runtime.GC()
		time.Sleep(10 * time.Millisecond)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
		t.Errorf("descriptor %d before the exec: %v", fd, err)
	}
	st.close()
	runtime.KeepAlive(st)
}
