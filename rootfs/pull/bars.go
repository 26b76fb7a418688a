package pull

import (
	"io"
	"sync"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// bars shows a bar a layer on a terminal.
type bars struct {
	p    *mpb.Progress
	mu   sync.Mutex
	open map[*mpb.Bar]struct{}
}

var _ Progress = (*bars)(nil)

func newBars(w io.Writer) *bars {
	return &bars{p: mpb.New(mpb.WithOutput(w), mpb.WithWidth(40)), open: map[*mpb.Bar]struct{}{}}
}

func (b *bars) Step(text string) { _, _ = b.p.Write([]byte(text + "\n")) }

func (b *bars) Layer(name string, size int64) Bar {
	bar := b.p.AddBar(max(size, 0),
		mpb.PrependDecorators(decor.Name("layer "+name+" ")),
		mpb.AppendDecorators(decor.OnComplete(decor.CountersKiloByte("% .1f / % .1f"), "stored")))
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open[bar] = struct{}{}
	// Unpacking goes on after the last byte came: the bar is not complete until
	// Done says so.
	bar.EnableTriggerComplete()
	return &bar1{bars: b, bar: bar, size: size}
}

// Close leaves the bars as they are: one that is not complete would make the
// library wait for ever.
func (b *bars) Close() {
	b.mu.Lock()
	for bar := range b.open {
		bar.Abort(false)
	}
	b.mu.Unlock()
	b.p.Wait()
}

type bar1 struct {
	bars *bars
	bar  *mpb.Bar
	size int64
	mu   sync.Mutex
	read int64
}

// Add stops short of the total: reaching it would count as complete.
func (b *bar1) Add(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.read += int64(n)
	if b.size > 0 {
		b.bar.SetCurrent(min(b.read, b.size-1))
	} else {
		b.bar.SetCurrent(b.read)
	}
}

func (b *bar1) Done(err error) {
	if err != nil {
		b.bar.Abort(false)
	} else {
		b.bar.SetTotal(-1, true)
	}
	b.bars.mu.Lock()
	defer b.bars.mu.Unlock()
	delete(b.bars.open, b.bar)
}
