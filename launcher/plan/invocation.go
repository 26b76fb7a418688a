package plan

import (
	"errors"
	"slices"
	"strings"
)

// Invocation is what one start adds to its plan.
type Invocation struct {
	// Replace makes Args stand for Entrypoint and Cmd, instead of following Entrypoint.
	Replace bool
	// Env are K=V that win over everything; K alone takes the caller's value.
	Env []string
	// Optional leaves out binds whose source is missing, whatever the plan says of them.
	Optional bool
	// Args are the caller's own words.
	Args []string
}

// The words by which a launcher hands an Invocation to the engine it executes.
const (
	wordReplace  = "--replace"
	wordEnv      = "--env"
	wordOptional = "--optional"
	wordArgs     = "--"
)

// Words renders the invocation as arguments of the engine.
func (v Invocation) Words() []string {
	var out []string
	if v.Replace {
		out = append(out, wordReplace)
	}
	for _, kv := range v.Env {
		out = append(out, wordEnv, kv)
	}
	if v.Optional {
		out = append(out, wordOptional)
	}
	return append(append(out, wordArgs), v.Args...)
}

// ParseWords is the inverse of Words.
func ParseWords(words []string) (Invocation, error) {
	var v Invocation
	for len(words) > 0 {
		switch {
		case words[0] == wordArgs:
			v.Args = words[1:]
			return v, nil
		case words[0] == wordReplace:
			v.Replace, words = true, words[1:]
		case words[0] == wordOptional:
			v.Optional, words = true, words[1:]
		case words[0] == wordEnv && len(words) > 1:
			v.Env, words = append(v.Env, words[1]), words[2:]
		default:
			return v, errors.New("parse words of the launcher: unknown word " + words[0])
		}
	}
	return v, errors.New("parse words of the launcher: no " + wordArgs)
}

// Adjust makes the plan what the invocation wants it to be, besides command and environment.
func (p *Plan) Adjust(v Invocation) {
	for n := range p.Binds {
		p.Binds[n].Optional = p.Binds[n].Optional || v.Optional
	}
}

// Argv is the command of a start: Cmd stands in for arguments that are not given.
func (p *Plan) Argv(v Invocation) []string {
	switch {
	case v.Replace:
		return v.Args
	case len(v.Args) > 0:
		return append(slices.Clip(slices.Clone(p.Entrypoint)), v.Args...)
	}
	return append(slices.Clone(p.Entrypoint), p.Cmd...)
}

// Environ is the environment of a start: what Pass takes over from the caller and Deny does not keep out, the plan's own,
// then Set and what the invocation says. PWD is the caller's name for the directory that the app starts in, if any.
func (p *Plan) Environ(v Invocation, caller []string, pwd string) []string {
	e := environ{list: slices.Clone(p.Env), at: map[string]int{}}
	for n, kv := range e.list {
		name, _, _ := strings.Cut(kv, "=")
		e.at[name] = n
	}
	theirs := make(map[string]string, len(caller))
	for _, kv := range caller {
		name, value, ok := strings.Cut(kv, "=")
		if !ok || name == "" {
			continue
		}
		if _, twice := theirs[name]; !twice { // getenv(3) takes the first
			theirs[name] = value
			if _, taken := e.at[name]; !taken && Match(p.Pass, name) && !Match(p.Deny, name) {
				e.set(kv)
			}
		}
	}
	lookup := func(name string) (string, bool) { value, ok := theirs[name]; return value, ok }
	if pwd != "" {
		e.set("PWD=" + pwd)
	}
	for _, kv := range p.Set {
		kv, _ = Expand(kv, lookup)
		e.set(kv)
	}
	for _, kv := range v.Env {
		if name, _, ok := strings.Cut(kv, "="); !ok {
			value, there := theirs[name]
			if !there {
				continue
			}
			kv = name + "=" + value
		}
		e.set(kv)
	}
	return e.list
}

// environ is a list of K=V with no name twice.
type environ struct {
	list []string
	at   map[string]int
}

func (e *environ) set(kv string) {
	name, _, _ := strings.Cut(kv, "=")
	if n, ok := e.at[name]; ok {
		e.list[n] = kv
		return
	}
	e.at[name] = len(e.list)
	e.list = append(e.list, kv)
}

// Match says whether one of the patterns (NAME, NAME*, *NAME, or one * within) means the name.
func Match(patterns []string, name string) bool {
	for _, pat := range patterns {
		before, after, star := strings.Cut(pat, "*")
		if !star && pat == name || star && len(name) >= len(before)+len(after) && strings.HasPrefix(name, before) && strings.HasSuffix(name, after) {
			return true
		}
	}
	return false
}
