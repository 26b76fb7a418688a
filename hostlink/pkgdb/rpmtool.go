package pkgdb

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// rpmPatience bounds rpm's answer.
const rpmPatience = 30 * time.Second

// askRPM has the host's own rpm read a database that we can't: one in a form that came and went, such as LMDB. cause is
// why we can't, and what is returned where there is no rpm either.
func (d *plain) askRPM(dir string, cause error) error {
	tool, err := exec.LookPath("rpm")
	if err != nil {
		return cause
	}
	ctx, cancel := context.WithTimeout(context.Background(), rpmPatience)
	defer cancel()
	out, err := exec.CommandContext(ctx, tool, "--dbpath", dir, "-qa", "--qf",
		`P %{NAME} %{ARCH}\n[F %{FILEFLAGS} %{FILENAMES}\n][R %{REQUIRENAME}\n][V %{PROVIDENAME}\n]`).Output()
	if err != nil {
		return errors.Join(cause, fmt.Errorf("ask rpm: %w", err))
	}
	d.packages = parseRPMAnswer(string(out))
	return nil
}

func parseRPMAnswer(text string) []plainPackage {
	var all []plainPackage
	for line := range strings.SplitSeq(text, "\n") {
		kind, value, ok := strings.Cut(line, " ")
		if !ok || kind != "P" && len(all) == 0 {
			continue
		}
		if kind == "P" {
			name, arch, _ := strings.Cut(value, " ")
			all = append(all, plainPackage{relation: relation{name: name}, arch: arch})
			continue
		}
		p := &all[len(all)-1]
		switch kind {
		case "F":
			number, path, _ := strings.Cut(value, " ")
			flags, err := strconv.Atoi(number)
			if err != nil || flags&flagGhost != 0 {
				continue
			}
			p.files = append(p.files, path)
			if flags&flagConfig != 0 {
				p.conf = append(p.conf, path)
			}
		case "R":
			p.needs = append(p.needs, []string{value})
		case "V":
			p.provides = append(p.provides, value)
		}
	}
	return all
}
