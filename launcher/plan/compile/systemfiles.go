package compile

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/google/renameio/v2"

	"github.com/flake-launcher/flake-launcher/hostlink"
	"github.com/flake-launcher/flake-launcher/nsexec"
	"github.com/flake-launcher/flake-launcher/nsexec/seccomp"
)

// ScriptError says what is wrong with the script by which an image asks for host files.
type ScriptError struct {
	Flake, Image string
	Err          error
}

func (e *ScriptError) Error() string {
	reason := e.Err.Error()
	var confined *nsexec.ConfinedError
	var printed *hostlink.ManifestError
	switch {
	case errors.As(e.Err, &confined) && confined.Own:
		reason = "can't be run here: " + confined.Reason
	case errors.As(e.Err, &confined):
		reason = confined.Reason
	case errors.As(e.Err, &printed):
		reason = fmt.Sprintf("printed no list of files: line %d: %s", printed.Line, printed.Reason)
	}
	return fmt.Sprintf("flake %q: %s of image %q %s", e.Flake, hostlink.SystemFiles, e.Image, reason)
}

// Unwrap gives the cause.
func (e *ScriptError) Unwrap() error { return e.Err }

// Remedy implements the CLI's second line.
func (e *ScriptError) Remedy() string {
	var confined *nsexec.ConfinedError
	if errors.As(e.Err, &confined) && confined.Own && confined.Fix != "" {
		return confined.Fix
	}
	return "rebuild the image: its script may do no more than print paths of host files, without network and within limits"
}

// script runs an image's script, or takes what it printed when package database and host were the same.
func (c *Compiler) script(ctx context.Context, p *packages, flake, image string, script []byte) (hostlink.Manifest, error) {
	state, known := c.scriptState(p)
	sum := sha256.Sum256(script)
	file := filepath.Join(c.Store.SystemFilesDir(), hex.EncodeToString(sum[:]))
	printed, ok := readPrinted(file, state)
	if !ok || !known {
		var err error
		if printed, err = c.runScript(ctx, script); err != nil {
			if ctx.Err() != nil {
				return hostlink.Manifest{}, err
			}
			return hostlink.Manifest{}, &ScriptError{flake, image, err}
		}
	}
	m, err := hostlink.ParseSystemFiles(printed)
	if err != nil {
		return m, &ScriptError{flake, image, err}
	}
	if !ok && known {
		if err := writePrinted(file, state, printed); err != nil {
			return m, fmt.Errorf("keep what %s of %q printed: %w", hostlink.SystemFiles, image, err)
		}
	}
	return m, nil
}

func (c *Compiler) runScript(ctx context.Context, script []byte) ([]byte, error) {
	filter, err := seccomp.Compile(nil)
	if err != nil {
		return nil, err
	}
	confined := &nsexec.Confined{
		Root: c.HostRoot, Script: script, User: !c.Caller.Root(), Filters: [][]byte{filter, seccomp.Terminal(), seccomp.Script()},
	}
	if h := c.Caller.Home; filepath.IsAbs(h) && filepath.Clean(h) != "/" && homeFits(h) {
		confined.Hide = []string{filepath.Clean(h)}
	}
	return confined.Run(ctx)
}

// scriptState stands for all that a script's answer may depend on as far as it can be known: without a package database
// it can't.
func (c *Compiler) scriptState(p *packages) (state string, known bool) {
	if _, err := p.open(); err != nil {
		return "", false
	}
	h := sha256.New()
	var st syscall.Stat_t
	if err := syscall.Stat(c.HostRoot, &st); err != nil {
		return "", false
	}
	fmt.Fprintf(h, "%q %d %d %d\n", c.HostRoot, st.Dev, st.Ino, c.Caller.UID)
	for _, check := range p.checks {
		fmt.Fprintf(h, "%q\n", fmt.Sprint(check))
	}
	return hex.EncodeToString(h.Sum(nil)), true
}

// printedHead begins a file with what a script printed; the state and the sum of what follows come behind it.
const printedHead = "flake-systemfiles 1 "

func printedLine(state string, printed []byte) []byte {
	sum := sha256.Sum256(printed)
	return []byte(printedHead + state + " " + hex.EncodeToString(sum[:]) + "\n")
}

// readPrinted reads such a file. One of another state, or that a crash has left damaged, is none.
func readPrinted(file, state string) (printed []byte, ok bool) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, false
	}
	head, printed, _ := bytes.Cut(b, []byte("\n"))
	return printed, bytes.Equal(append(bytes.Clone(head), 0x0a), printedLine(state, printed))
}

func writePrinted(file, state string, printed []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	return renameio.WriteFile(file, append(printedLine(state, printed), printed...), 0o600)
}
