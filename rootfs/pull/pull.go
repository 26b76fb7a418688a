package pull

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/docker"
	"go.podman.io/image/v5/signature"
	"go.podman.io/image/v5/types"
	"go.podman.io/storage/pkg/configfile"

	"github.com/flake-launcher/flake-launcher/rootfs"
)

// Pull brings the image that source names into the store and makes its name
// point at it. Source is a reference (short names go through registries.conf)
// or has docker://, oci:, oci-archive:, docker-archive: or dir: in front; a path
// (beginning with / or .) is left to Load.
//
// Nothing is fetched that the store has already. Each layer is complete in the
// store or not there at all, whatever ends the pull; those that are complete
// are found by the next one. The error is an *Error.
func Pull(ctx context.Context, s *rootfs.Store, source string, opt Options) (*rootfs.Image, error) {
	kind, path, ok := strings.Cut(source, ":")
	switch {
	case strings.HasPrefix(source, "/") || strings.HasPrefix(source, "."):
		return Load(ctx, s, source, opt)
	case ok && fileKinds[kind] != nil:
		return run(ctx, s, "pull", source, opt, func(p *puller) (*rootfs.Image, error) {
			return p.loadKind(ctx, kind, path)
		})
	}
	return run(ctx, s, "pull", source, opt, func(p *puller) (*rootfs.Image, error) {
		return p.pullDocker(ctx)
	})
}

// Load brings the image in a file or directory into the store: a docker-archive
// or oci-archive, compressed or not, an OCI layout, or a directory as the dir:
// transport has it. If path does not exist, the file of the highest version
// whose name begins with it is taken. An archive of several images is loaded
// completely; the first of them is returned.
//
// The names are those that the archive gives; one without gets localhost/ and
// the file's name. The error is an *Error.
func Load(ctx context.Context, s *rootfs.Store, path string, opt Options) (*rootfs.Image, error) {
	return run(ctx, s, "load", path, opt, func(p *puller) (*rootfs.Image, error) {
		return p.load(ctx, path)
	})
}

// puller is the state of one Pull or Load.
type puller struct {
	store  *rootfs.Store
	opt    Options
	sys    *types.SystemContext
	policy *signature.PolicyContext
	tmp    string
	source string
	// rootless: there is no more than one id to give to files.
	rootless bool
	known    map[digest.Digest]rootfs.LayerRecord // by diffID and by blob digest
}

func run(ctx context.Context, s *rootfs.Store, op, source string, opt Options, do func(*puller) (*rootfs.Image, error)) (*rootfs.Image, error) {
	img, err := runLocked(ctx, s, source, opt.filled(), do)
	if err != nil {
		return nil, explain(ctx, op, source, err)
	}
	return img, nil
}

func runLocked(ctx context.Context, s *rootfs.Store, source string, opt Options, do func(*puller) (*rootfs.Image, error)) (img *rootfs.Image, err error) {
	done, err := s.Writing(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	if _, err := s.SweepTemp(); err != nil {
		return nil, fmt.Errorf("sweep leftovers: %w", err)
	}
	tmp, err := s.Temp("pull")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, tmp.Close()) }()
	p := &puller{store: s, opt: opt, sys: opt.system(tmp.Dir()), tmp: tmp.Dir(), source: source, rootless: !rootfs.Privileged()}
	if p.policy, err = newPolicy(p.sys); err != nil {
		return nil, fmt.Errorf("read signature policy: %w", err)
	}
	defer func() { err = errors.Join(err, p.policy.Destroy()) }()
	if err := p.learn(); err != nil {
		return nil, err
	}
	return do(p)
}

// newPolicy reads policy.json. Without one, everything is accepted, as docker
// does; an unreadable one is an error.
func newPolicy(sys *types.SystemContext) (*signature.PolicyContext, error) {
	policy, err := signature.DefaultPolicy(sys)
	if errors.Is(err, configfile.ErrConfigFileNotFound) {
		policy = &signature.Policy{Default: signature.PolicyRequirements{signature.NewPRInsecureAcceptAnything()}}
	} else if err != nil {
		return nil, err
	}
	return signature.NewPolicyContext(policy)
}

// learn collects what is known about the layers that the store has.
func (p *puller) learn() error {
	images, err := p.store.Images()
	if err != nil {
		return fmt.Errorf("list images: %w", err)
	}
	p.known = map[digest.Digest]rootfs.LayerRecord{}
	for _, img := range images {
		for _, l := range img.Layers {
			p.known[l.DiffID] = l
			if l.Digest != "" {
				p.known[l.Digest] = l
			}
		}
	}
	return nil
}

// pullDocker tries what a reference can mean, in order.
func (p *puller) pullDocker(ctx context.Context) (*rootfs.Image, error) {
	names, err := candidates(p.sys, p.source)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, name := range names {
		ref, err := docker.NewReference(name)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrReference, err)
		}
		p.opt.Progress.Step("pulling " + name.String())
		img, err := p.pullImage(ctx, ref, []string{name.String()})
		if err == nil {
			return img, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	if len(errs) == 1 {
		return nil, errs[0]
	}
	return nil, fmt.Errorf("none of %d registries: %w", len(errs), joined(errs))
}

// joined keeps several errors on one line.
type joined []error

func (j joined) Error() string {
	texts := make([]string, len(j))
	for i, err := range j {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (j joined) Unwrap() []error { return j }

// publish makes the image reachable by its names and its source. They come first of the names that it has, which may be
// from before.
func (p *puller) publish(d digest.Digest, names []string) (*rootfs.Image, error) {
	for _, name := range names {
		if err := p.store.SetRef(name, d); err != nil {
			return nil, err
		}
	}
	sources := []string{p.source}
	if abs, err := filepath.Abs(p.source); err == nil && isPath(p.source) && abs != p.source {
		sources = append(sources, abs)
	}
	for _, source := range sources {
		if err := p.store.SetSource(source, d); err != nil {
			return nil, err
		}
	}
	img, err := p.store.Image(d)
	if err != nil {
		return nil, err
	}
	img.Names = append(slices.Clone(names), slices.DeleteFunc(img.Names, func(name string) bool { return slices.Contains(names, name) })...)
	p.opt.Progress.Step(fmt.Sprintf("stored %s as %s", strings.Join(names, ", "), shortID(d)))
	return img, nil
}

func shortID(d digest.Digest) string { return d.Encoded()[:12] }

// now is when an image came.
func now() time.Time { return time.Now().UTC().Truncate(time.Second) }
