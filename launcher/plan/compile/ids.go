package compile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/user"

	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

// The values of Request.IDs besides "".
const (
	idsSingle = "single"
	idsRange  = "range"
)

// The administrator's lists of further ids, and where package uidmap puts what may map them. PATH belongs to the caller.
var (
	subUID, subGID = "/etc/subuid", "/etc/subgid"
	helperDirs     = []string{"/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/usr/local/sbin"}
)

// maxRanges bounds the lines of a map, all of which the kernel would take.
const maxRanges = 64

const fixRange = "or leave out `ids: range`: a single id needs nothing of the kind"

// ids decides whether an ordinary user's start has a range of ids, and which; Root has all ids anyway. What is in the way
// of one is an *IDsError, which is for who asked for it to hear. The result is what the answer depends on.
func (c *Compiler) ids(p *plan.Plan, req Request, images []rootfs.Stored, stack stackConfig) (checks []plan.Check, err error) {
	if c.Caller.Root() || !c.wishesRange(req, stack) {
		return nil, nil
	}
	checks = rangeChecks()
	p.Range, err = c.idRange(p, req, images)
	return checks, err
}

// namesUser says whether an image wants to run as another user than root.
func namesUser(stack stackConfig) bool {
	name, _, _ := strings.Cut(stack.user, ":")
	return name != "" && name != "root" && name != "0"
}

// refusal makes the reason for which a start can't have a range.
type refusal func(fix, format string, args ...any) error

func (c *Compiler) idRange(p *plan.Plan, req Request, images []rootfs.Stored) (*plan.Range, error) {
	refuse := func(fix, format string, args ...any) error {
		return &IDsError{Flake: req.Name, Reason: fmt.Sprintf(format, args...), Fix: fix + ", " + fixRange}
	}
	if c.Own == nil || c.Caller.UID == 0 {
		return nil, refuse("run outside of other containers", "a root without the rights of the host's root has none")
	}
	if p.Kept != "" && p.Writable == plan.WritableDisk {
		return nil, refuse("say `writable: tmpfs`, or let the container end with its app",
			"not together with the writable: disk of a container that is kept (%s), in this version", p.Kept)
	}
	if req.Engine == plan.EngineLibcontainer {
		return nil, refuse("leave out `engine`", "not together with engine: libcontainer in this version")
	}
	for n, img := range images {
		if img.Store.Root() != c.Store.Root() {
			return nil, refuse("get the image into a store of your own (flake-ctl pull or flake-ctl load)",
				"image %q lies in %s, which is not yours", req.Images[n], img.Store.Root())
		}
	}
	r, size, err := c.callersRange(refuse)
	if err != nil {
		return nil, err
	}
	if !r.Mapped() {
		return nil, &IDsError{
			Flake: req.Name, Reason: "the ids of your range do not exist in this user namespace",
			Fix: "run outside of other containers, " + fixRange, Here: true,
		}
	}
	for n, img := range images {
		for _, l := range img.Layers {
			highest, err := c.Store.MaxID(l.ID)
			if err != nil {
				return nil, refuse("remove the image and get it again", "image %q: %v", req.Images[n], err)
			}
			if highest >= int(size) {
				return nil, refuse(fmt.Sprintf("let the administrator widen your lines in %s and %s", subUID, subGID),
					"image %q has files of id %d, and your range gives %d ids", req.Images[n], highest, size)
			}
		}
	}
	return r, nil
}

// callersRange is what this machine gives the caller, and how many ids that are, the fewer of users and groups.
func (c *Compiler) callersRange(refuse refusal) (r *plan.Range, size uint32, err error) {
	r = &plan.Range{}
	for _, h := range []struct {
		name string
		path *string
	}{{"newuidmap", &r.NewUIDMap}, {"newgidmap", &r.NewGIDMap}} {
		if *h.path = helper(h.name); *h.path == "" {
			return nil, 0, refuse("install it (package uidmap or shadow-utils)", "%s is missing", h.name)
		}
	}
	for _, f := range []struct {
		file string
		own  int
		maps *[]plan.IDMap
	}{{subUID, c.Caller.UID, &r.UIDs}, {subGID, c.Caller.GID, &r.GIDs}} {
		if *f.maps, err = c.readMaps(f.file, f.own); err != nil {
			return nil, 0, refuse("have the administrator repair it", "read ranges of ids: %v", err)
		}
		if len(*f.maps) < 2 {
			return nil, 0, refuse(fmt.Sprintf("let the administrator add a line like %s:100000:65536", c.callerName()), "%s has no range for you", f.file)
		}
		last := (*f.maps)[len(*f.maps)-1]
		if n := last.Inside + last.Size; size == 0 || n < size {
			size = n
		}
	}
	return r, size, nil
}

// checkRange refuses a user of the app whom the range does not reach.
func checkRange(p *plan.Plan, req Request) error {
	if p.Range == nil {
		return nil
	}
	for _, ids := range []struct {
		maps []plan.IDMap
		want []uint32
	}{{p.Range.UIDs, []uint32{p.UID}}, {p.Range.GIDs, append([]uint32{p.GID}, p.Groups...)}} {
		last := ids.maps[len(ids.maps)-1]
		if most := slices.Max(ids.want); most >= last.Inside+last.Size {
			return &IDsError{
				Flake: req.Name, Reason: fmt.Sprintf("the app runs with id %d, and your range gives %d ids", most, last.Inside+last.Size),
				Fix: fmt.Sprintf("let the administrator widen your lines in %s and %s, ", subUID, subGID) + fixRange,
			}
		}
	}
	return nil
}

// readMaps makes 0 inside the caller, and 1 and what follows the ids of his ranges, in the order of the file.
func (c *Compiler) readMaps(file string, own int) ([]plan.IDMap, error) {
	maps := []plan.IDMap{{Inside: 0, Outside: uint32(own), Size: 1}}
	names := []string{strconv.Itoa(c.Caller.UID)}
	if c.Caller.Name != "" {
		names = append(names, c.Caller.Name)
	}
	list, err := user.ParseSubIDFileFilter(file, func(s user.SubID) bool { return slices.Contains(names, s.Name) })
	if errors.Is(err, fs.ErrNotExist) {
		return maps, nil
	}
	if err != nil {
		return nil, err
	}
	next := int64(1)
	for _, s := range list {
		end := s.SubID + s.Count
		// Overlapping ones the kernel would refuse altogether.
		taken := slices.ContainsFunc(maps, func(m plan.IDMap) bool {
			return s.SubID < int64(m.Outside)+int64(m.Size) && int64(m.Outside) < end
		})
		if s.SubID <= 0 || s.Count <= 0 || end > 1<<32-1 || next+s.Count > 1<<32-1 || taken || len(maps) > maxRanges {
			continue
		}
		maps = append(maps, plan.IDMap{Inside: uint32(next), Outside: uint32(s.SubID), Size: uint32(s.Count)})
		next += s.Count
	}
	return maps, nil
}

func (c *Compiler) callerName() string {
	if c.Caller.Name != "" {
		return c.Caller.Name
	}
	return strconv.Itoa(c.Caller.UID)
}

func helper(name string) string {
	for _, dir := range helperDirs {
		path := filepath.Join(dir, name)
		if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() && st.Mode().Perm()&0o111 != 0 {
			return path
		}
	}
	return ""
}

// ownedLayers exchanges the layers for those in which files have their images' owners, and makes these if need be.
func (c *Compiler) ownedLayers(ctx context.Context, p *plan.Plan, layers []string) ([]string, error) {
	if p.Range == nil {
		return layers, nil
	}
	var out, missing []string
	for _, dir := range layers {
		id := filepath.Base(dir)
		out = append(out, c.Store.RangeLayerDir(id))
		if !c.Store.HasRangeLayer(id) {
			missing = append(missing, id)
		}
	}
	if len(missing) > 0 {
		if err := c.Own(ctx, p.Range, missing); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// rangeChecks make a plan stale when the caller's range changes, or there is one where it was only wished for.
func rangeChecks() []plan.Check {
	out := []plan.Check{plan.NewCheck(subUID), plan.NewCheck(subGID)}
	for _, name := range []string{"newuidmap", "newgidmap"} {
		out = append(out, plan.NewCheck(filepath.Join(helperDirs[0], name)))
	}
	return out
}

// Range is the caller's range of ids, for work on layers that have been made with one.
func (c *Compiler) Range() (*plan.Range, error) {
	return c.idRange(&plan.Plan{}, Request{Name: "gc"}, nil)
}
