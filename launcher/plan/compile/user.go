package compile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/moby/sys/user"

	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

// maxPasswd bounds /etc/passwd and /etc/group of an image.
const maxPasswd = 4 << 20

// identity fills in who the app is: for root what the request or the images say, for anybody else the caller, since
// one id is all that his user namespace has; the images' User does not count there. "root" maps the caller to 0.
func (c *Compiler) identity(p *plan.Plan, req Request, stack stackConfig, view *rootfs.View) error {
	if c.Caller.Root() || p.Range != nil {
		if err := identity(p, req, stack, view); err != nil {
			return err
		}
	} else {
		switch req.User {
		case "":
			p.UID, p.GID = uint32(c.Caller.UID), uint32(c.Caller.GID)
		case "root", "0", "0:0":
		default:
			return &StackError{
				Flake: req.Name, Reason: fmt.Sprintf("user %q: an ordinary user can only be himself or root inside", req.User),
				Fix: "leave the user out, say root, or ask for the ids of your range: `ids: range`",
			}
		}
	}
	home := c.home(p)
	switch {
	case home != "" && (!c.rootInside(p) || req.profile().Home):
		p.Env = setEnv(p.Env, "HOME="+home)
	case p.User && c.rootInside(p):
		p.Env = setEnv(p.Env, "HOME=/root")
	case !hasEnv(p.Env, "HOME"):
		p.Env = setEnv(p.Env, "HOME=/")
	}
	return nil
}

// groups adds the flake's further groups. With one id mapped nobody can set groups; those of the caller stay anyway.
func (c *Compiler) groups(p *plan.Plan, req Request, view *rootfs.View) error {
	names := slices.DeleteFunc(slices.Clone(req.Flake.Groups), func(g string) bool { return p.User && g == keepGroups })
	if len(names) == 0 {
		return nil
	}
	refuse := func(fix, format string, args ...any) error {
		return &StackError{Flake: req.Name, Reason: "groups: " + fmt.Sprintf(format, args...), Fix: fix}
	}
	if p.User {
		return refuse("leave it out (your own groups stay), use `ids: range`, or run as root", "an ordinary user's start knows one id, and %q can't be added", names[0])
	}
	if slices.Contains(names, keepGroups) {
		return refuse("name the groups, or leave it out", "%s is for an ordinary user with a single id", keepGroups)
	}
	group, err := readOptional(view, "/etc/group")
	if err != nil {
		return err
	}
	ids, err := user.GetAdditionalGroups(names, group)
	if err != nil {
		return refuse("name a group of the image's /etc/group, or a number", "%v", err)
	}
	for _, id := range ids {
		if !slices.Contains(p.Groups, uint32(id)) {
			p.Groups = append(p.Groups, uint32(id))
		}
	}
	slices.Sort(p.Groups)
	return nil
}

// keepGroups is podman's word for the caller's own groups.
const keepGroups = "keep-groups"

// identity resolves the user against the stack's own passwd and group files.
func identity(p *plan.Plan, req Request, stack stackConfig, view *rootfs.View) error {
	spec := stack.user
	if req.User != "" {
		spec = req.User
	}
	passwd, err := readOptional(view, "/etc/passwd")
	if err != nil {
		return err
	}
	group, err := readOptional(view, "/etc/group")
	if err != nil {
		return err
	}
	u, err := user.GetExecUser(spec, &user.ExecUser{Home: "/"}, passwd, group)
	if err != nil {
		return &StackError{
			Flake: req.Name, Reason: fmt.Sprintf("user %q: %v", spec, err),
			Fix: "name a user of the image's /etc/passwd, or a number",
		}
	}
	p.UID, p.GID = uint32(u.Uid), uint32(u.Gid)
	for _, g := range u.Sgids {
		p.Groups = append(p.Groups, uint32(g))
	}
	if !hasEnv(p.Env, "HOME") {
		p.Env = setEnv(p.Env, "HOME="+u.Home)
	}
	return nil
}

func readOptional(view *rootfs.View, path string) (io.Reader, error) {
	b, err := view.ReadFile(path, maxPasswd)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, &AccountsError{path, err}
	}
	return bytes.NewReader(b), nil
}
