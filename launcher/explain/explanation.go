package explain

import "github.com/flake-launcher/flake-launcher/hostlink/elflink"

// Explanation is the whole of it.
type Explanation struct {
	Flake        string    `json:"flake"`
	Registration string    `json:"registration"`
	Link         string    `json:"host_app_path"`
	Command      []string  `json:"command"`
	Plan         PlanState `json:"plan"`
	Images       []Image   `json:"images"`
	// Origins are the places that files come from, in the order in which they are stacked.
	Origins     []Origin    `json:"origins"`
	Directories []Directory `json:"directories"`
	Strategy    Strategy    `json:"strategy"`
	HostFiles   []HostFile  `json:"host_files"`
	LeftOut     []LeftOut   `json:"left_out"`
	Dangling    []Dangling  `json:"dangling"`
	Replaced    []Replaced  `json:"replaced"`
	Unreadable  []string    `json:"unreadable"`
	// Libraries is what files of the host need, and who has it: of those that images ask for only what is missing.
	Libraries elflink.Report `json:"libraries"`
	Shares    Shares         `json:"shares"`
	// Files are all files of the root; only if asked for.
	Files []File `json:"files,omitempty"`
}

// Image is one of the stack, base first.
type Image struct {
	Role   string `json:"role"`
	Name   string `json:"name"`
	Digest string `json:"digest"`
}

// Origin is where files come from: an image or include (Role is one of compile.Role*), "host" or "launcher".
type Origin struct {
	Role  string `json:"role"`
	Name  string `json:"name,omitempty"`
	Files int    `json:"files"`
	Bytes int64  `json:"bytes"`
}

// The origins that are no layers.
const (
	roleHost     = "host"
	roleLauncher = "launcher"
)

// Directory counts the files below a directory by origin.
type Directory struct {
	Path    string   `json:"path"`
	Origins []Origin `json:"origins"`
}

// File is one file of the root.
type File struct {
	Path string `json:"path"`
	Role string `json:"role"`
	Name string `json:"name,omitempty"`
}

// Strategy says how host files are shown.
type Strategy struct {
	Layer    int      `json:"layer"`
	Bind     int      `json:"bind"`
	Data     []string `json:"data"`
	NoLayer  string   `json:"no_layer,omitempty"`
	Wanted   string   `json:"wanted,omitempty"`
	Strict   bool     `json:"strict"`
	Follow   bool     `json:"follow_links"`
	Symlinks int      `json:"symlinks"`
}

// The means by which a host file is shown.
const (
	ByLayer   = "layer"
	ByBind    = "bind"
	BySymlink = "symlink"
	ByDir     = "directory"
)

// HostFile is one that the app gets.
type HostFile struct {
	Place  string `json:"place"`
	Source string `json:"source"`
	Kind   string `json:"kind"`
	// Strategy is one of By*; Reason says why it is a bind.
	Strategy string  `json:"strategy"`
	Reason   string  `json:"strategy_reason,omitempty"`
	Because  Because `json:"because"`
}

// Because is what asked for a host file.
type Because struct {
	// From is one of hostlink.Source*.
	From  string `json:"from"`
	Image string `json:"image,omitempty"`
	Line  int    `json:"line,omitempty"`
	Entry string `json:"entry"`
	For   string `json:"for,omitempty"`
	// Why says of a library why it is not the images'.
	Why string `json:"why,omitempty"`
}

// LeftOut is an entry that the app does not get. Cause is one of hostlink.Cause*.
type LeftOut struct {
	Cause   string  `json:"cause"`
	Reason  string  `json:"reason"`
	Because Because `json:"because"`
}

// Dangling is a symlink whose target only the host has.
type Dangling struct {
	Place   string  `json:"place"`
	Text    string  `json:"text"`
	Missing string  `json:"missing"`
	Reason  string  `json:"reason"`
	Because Because `json:"because"`
}

// Replaced is a place where a host file is of another kind than the image's.
type Replaced struct {
	Place string `json:"place"`
	Was   string `json:"was"`
	Now   string `json:"now"`
}

// Shares are what the app has of its caller.
type Shares struct {
	Profile  string `json:"profile"`
	Home     string `json:"home"`
	Cwd      string `json:"cwd"`
	CwdIsHis bool   `json:"cwd_of_caller"`
	Network  bool   `json:"network"`
	Writable string `json:"writable"`
	Binds    []Bind `json:"binds"`
	// Protected are directories that no bind makes writable.
	Protected []string `json:"protected"`
	Copies    []Copy   `json:"copies"`
}

// Bind is a path of the host that is shown. %NAME in it is a variable of the caller.
type Bind struct {
	Source   string `json:"source"`
	Target   string `json:"target"`
	ReadOnly bool   `json:"read_only"`
	Optional bool   `json:"optional"`
	// Tmpfs: it is an empty file system, without a source.
	Tmpfs bool `json:"tmpfs"`
}

// Copy is a file of the host whose content the app gets.
type Copy struct {
	Source string `json:"source"`
	Target string `json:"target"`
}
