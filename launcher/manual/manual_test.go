package manual

import (
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

type grammar struct {
	Make makeCmd  `cmd:"" help:"Make it."`
	Dark struct{} `cmd:"" hidden:"" help:"Never told."`
	Deep struct {
		In struct{} `cmd:"" help:"Never told."`
	} `cmd:"" hidden:""`
}

type makeCmd struct {
	Mode   string `short:"m" placeholder:"MODE" help:".fast or \\full"`
	Secret bool   `hidden:"" help:"Never told."`
}

func (makeCmd) Help() string { return "Example:\n\n  prog make -m a\n  'b\n\nMore." }

func TestWrite(t *testing.T) {
	p, err := kong.New(&grammar{}, kong.Name("prog"), kong.Description("Does things."), kong.Writers(io.Discard, io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := Write(&b, p.Model, "1.0", "other(1)"); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, want := range []string{
		`.TH "PROG" 1 "" "prog 1.0"`, "prog \\- Does things\n", `.SS "prog make`, ".B \\-m, \\-\\-mode=MODE\n\\&.fast or \\efull\n",
		".nf\nprog make \\-m a\n\\&'b\n.fi", ".PP\nMore.\n", "other(1)",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "Never told") {
		t.Errorf("hidden things are told:\n%s", text)
	}
	groff, err := exec.LookPath("groff")
	if err != nil {
		t.Skip("needs groff to see whether it understands the page")
	}
	cmd := exec.Command(groff, "-man", "-ww", "-z")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("groff: %v\n%s\n%s", err, out, text)
	}
}
