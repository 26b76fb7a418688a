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

// newBars refreshes by itself whatever w is: the library ends a bar only while
// it draws one.
func newBars(w io.Writer) *bars {
	return &bars{p: mpb.New(mpb.WithOutput(w), mpb.WithWidth(40), mpb.WithAutoRefresh()), open: map[*mpb.Bar]struct{}{}}
}

func (b *bars) Step(text string) { _, _ = b.p.Write([]byte(text + "\n")) }

func (b *bars) Layer(name string, size int64) Bar {
	// Made without a total, or reaching it would end the bar: unpacking goes on
	// after the last byte came.
	bar := b.p.AddBar(0,
		mpb.PrependDecorators(decor.Name("layer "+name+" ")),
		mpb.AppendDecorators(decor.OnComplete(decor.CountersKiloByte("% .1f / % .1f"), "stored")))
	if size > 0 {
		bar.SetTotal(size, false)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open[bar] = struct{}{}
	return &layerBar{bars: b, bar: bar}
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

type layerBar struct {
	bars *bars
	bar  *mpb.Bar
}

func (b *layerBar) Add(n int) { b.bar.IncrBy(n) }

func (b *layerBar) Done(err error) {
	if err != nil {
		b.bar.Abort(false)
	} else {
		b.bar.SetTotal(-1, true)
	}
	b.bars.mu.Lock()
	defer b.bars.mu.Unlock()
	delete(b.bars.open, b.bar)
}
