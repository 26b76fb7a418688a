package compile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/flake-launcher/flake-launcher/launcher/flake"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

// maxDocument bounds a man page or completion.
const maxDocument = 4 << 20

// Document is a man page or a shell's completion that an image has for a command.
type Document struct {
	// Path is where it belongs below a data directory such as /usr/local/share.
	Path string
	Data []byte
}

// page matches the file name of a man page: name, section, and what it is compressed with.
var page = regexp.MustCompile(`^(.+)\.([1-9][a-z]*)(\.(?:gz|bz2|xz|zst))?$`)

// completions are, for each shell, where it looks below a data directory, how it names a command's file, and where
// images have such files.
var completions = []struct {
	dir, prefix, suffix string
	from                []string
}{
	{"bash-completion/completions", "", "", []string{"/usr/share/bash-completion/completions", "/etc/bash_completion.d"}},
	{"zsh/site-functions", "_", "", []string{"/usr/share/zsh/site-functions", "/usr/share/zsh/vendor-completions"}},
	{"fish/vendor_completions.d", "", ".fish", []string{"/usr/share/fish/vendor_completions.d", "/usr/share/fish/completions"}},
}

// Documents returns what the images of a flake have to say about its command, sorted by path: man pages of the
// command and, as git has them, of its subcommands (NAME-*), and completions. A flake that has another name than its
// command gets pages under its own name, and no completions: those know their command's name.
func (c *Compiler) Documents(ctx context.Context, name string, f *flake.Flake) ([]Document, error) {
	req, err := FromFlake(name, f)
	if err != nil {
		return nil, err
	}
	images, _, err := c.images(ctx, req)
	if err != nil {
		return nil, err
	}
	view, err := rootfs.NewView(unique(stackDirs(images)))
	if err != nil {
		return nil, fmt.Errorf("open layers of %q: %w", name, err)
	}
	defer view.Close()
	command := name
	if req.Target != "" {
		command = path.Base(req.Target)
	}
	out, err := manPages(view, command, name)
	if err != nil {
		return nil, err
	}
	if command == name {
		more, err := completionsOf(view, name)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	slices.SortFunc(out, func(a, b Document) int { return strings.Compare(a.Path, b.Path) })
	return out, nil
}

func manPages(view *rootfs.View, command, name string) ([]Document, error) {
	var out []Document
	for section := '1'; section <= '9'; section++ {
		dir := "man/man" + string(section)
		entries, err := view.ReadDir("/usr/share/" + dir)
		if absent(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read man pages: %w", err)
		}
		for _, e := range entries {
			m := page.FindStringSubmatch(e.Name())
			if m == nil {
				continue
			}
			rest, ours := strings.CutPrefix(m[1], command)
			if !ours || rest != "" && rest[0] != '-' || !filepath.IsLocal(name+rest) {
				continue
			}
			data, err := document(view, "/usr/share/"+dir+"/"+e.Name())
			if err != nil {
				return nil, err
			}
			if data != nil {
				out = append(out, Document{Path: dir + "/" + name + rest + "." + m[2] + m[3], Data: data})
			}
		}
	}
	return out, nil
}

func completionsOf(view *rootfs.View, name string) ([]Document, error) {
	var out []Document
	for _, shell := range completions {
		file := shell.prefix + name + shell.suffix
		for _, dir := range shell.from {
			data, err := document(view, dir+"/"+file)
			if err != nil {
				return nil, err
			}
			if data != nil {
				out = append(out, Document{Path: shell.dir + "/" + file, Data: data})
				break
			}
		}
	}
	return out, nil
}

// document reads a file; nil for what is absent, no regular file, or too large to be what it says.
func document(view *rootfs.View, file string) ([]byte, error) {
	st, err := view.Stat(file)
	if absent(err) || err == nil && (!st.Mode().IsRegular() || st.Size() == 0 || st.Size() > maxDocument) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read documents: %w", err)
	}
	return view.ReadFile(file, maxDocument)
}

func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}
