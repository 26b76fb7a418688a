package pull

import (
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Progress is told what a pull does. Its methods may be called from several
// goroutines at once.
type Progress interface {
	// Step is something that was done or is begun, in one line.
	Step(text string)
	// Layer begins a layer; size is -1 if it is not known.
	Layer(name string, size int64) Bar
	// Close ends the display. The caller of Pull calls it, once.
	Close()
}

// Bar is the progress of one layer.
type Bar interface {
	// Add says that n more bytes have been read from the source.
	Add(n int)
	// Done ends it; an error leaves the bar where it is.
	Done(err error)
}

// NewProgress shows bars if w is a terminal, and else one line a step.
func NewProgress(w io.Writer) Progress {
	if f, ok := w.(*os.File); ok && isTerminal(f) {
		return newBars(f)
	}
	return &lines{w: w}
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil && os.Getenv("TERM") != "dumb"
}

// lines writes one line a step: for logs and pipes.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

var _ Progress = (*lines)(nil)

func (l *lines) Step(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintln(l.w, text)
}

func (l *lines) Layer(name string, size int64) Bar {
	if size >= 0 {
		l.Step(fmt.Sprintf("layer %s: fetching %s", name, bytesText(size)))
	} else {
		l.Step(fmt.Sprintf("layer %s: fetching", name))
	}
	return lineBar{l, name}
}

func (l *lines) Close() {}

type lineBar struct {
	l    *lines
	name string
}

func (b lineBar) Add(int) {}

func (b lineBar) Done(err error) {
	if err == nil {
		b.l.Step(fmt.Sprintf("layer %s: stored", b.name))
	}
}

// silence is the progress of those who asked for none.
type silence struct{}

var _ Progress = silence{}

func (silence) Step(string)             {}
func (silence) Layer(string, int64) Bar { return silence{} }
func (silence) Add(int)                 {}
func (silence) Done(error)              {}
func (silence) Close()                  {}

func bytesText(n int64) string {
	const unit = 1000
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, suffix := float64(n)/unit, "kMGT"
	for value >= unit && len(suffix) > 1 {
		value, suffix = value/unit, suffix[1:]
	}
	return fmt.Sprintf("%.1f %cB", value, suffix[0])
}
