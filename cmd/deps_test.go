// Package cmd_test proves the arrows between packages and what each program links.
package cmd_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/flake-launcher/flake-launcher/"

// listed is what go list says of one package.
type listed struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

func goList(t *testing.T, env []string, args ...string) []listed {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Imports,TestImports,XTestImports", "-tags=containers_image_openpgp"}, args...)...)
	cmd.Env = append(cmd.Environ(), env...)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %s", exit.Stderr)
		}
		t.Fatal(err)
	}
	var pkgs []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

// top is the top-level folder of a package of ours, "" for one that is not ours.
func top(path string) string {
	rel, ok := strings.CutPrefix(path, module)
	if !ok {
		return ""
	}
	dir, _, _ := strings.Cut(rel, "/")
	return dir
}

func TestArrows(t *testing.T) {
	leaf := map[string]bool{"rootfs": true, "overlay": true, "hostlink": true, "nsexec": true}
	may := func(from, to string) bool {
		switch {
		case to == "" || from == to || from == "integration":
			return true
		case from == "cmd":
			return to != "integration"
		case from == "launcher":
			return leaf[to]
		}
		return false
	}
	doors := map[string]string{
		"github.com/opencontainers/runc/": "nsexec",
		"go.podman.io/image/":             "rootfs/pull",
	}
	pkgs := goList(t, nil, "../...")
	if len(pkgs) < 15 {
		t.Fatalf("only %d packages seen", len(pkgs))
	}
	for _, p := range pkgs {
		for _, imp := range p.Imports {
			if !may(top(p.ImportPath), top(imp)) {
				t.Errorf("%s imports %s", p.ImportPath, imp)
			}
			for heavy, door := range doors {
				if strings.HasPrefix(imp, heavy) && !strings.HasPrefix(p.ImportPath, module+door) {
					t.Errorf("%s imports %s, whose only door is %s", p.ImportPath, imp, door)
				}
			}
		}
	}
}

func TestProgramsStayLight(t *testing.T) {
	heavy := []string{
		"github.com/opencontainers/runc", "github.com/opencontainers/cgroups", "go.podman.io/", "go.yaml.in/", "net/http", "crypto/tls",
		"github.com/seccomp/", "github.com/opencontainers/umoci", module + "rootfs/pull", module + "rootfs/unpack",
		module + "launcher/plan/compile", module + "launcher/flake", module + "launcher/completion", module + "launcher/manual",
		module + "hostlink/pkgdb", "modernc.org/", "github.com/knqyf263/", "database/sql",
	}
	banned := map[string][]string{
		"flake-launcher": append([]string{"github.com/alecthomas/kong", "runtime/cgo"}, heavy...),
		"flake-run":      append([]string{"runtime/cgo"}, heavy...),
		"flake-engine":   {"go.podman.io/", "go.yaml.in/", "net/http", "crypto/tls", "github.com/seccomp/", module + "rootfs/pull", module + "launcher/plan/compile", module + "hostlink/pkgdb", "modernc.org/"},
	}
	for program, bans := range banned {
		env := []string{"CGO_ENABLED=0"}
		if program == "flake-engine" {
			env = nil
		}
		for _, p := range goList(t, env, "-deps", "../cmd/"+program) {
			for _, ban := range bans {
				if strings.HasPrefix(p.ImportPath, ban) {
					t.Errorf("%s links %s", program, p.ImportPath)
				}
			}
		}
	}
}
