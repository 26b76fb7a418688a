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
	// Args are the caller's own words.
	Args []string
}

// The words by which a launcher hands an Invocation to the engine it executes.
const (
	wordReplace = "--replace"
	wordEnv     = "--env"
	wordArgs    = "--"
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
		case words[0] == wordEnv && len(words) > 1:
			v.Env, words = append(v.Env, words[1]), words[2:]
		default:
			return v, errors.New("parse words of the launcher: unknown word " + words[0])
		}
	}
	return v, errors.New("parse words of the launcher: no " + wordArgs)
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

// Environ is the environment of a start: what Pass takes over from the caller, then the plan's, then the
// invocation's own.
func (p *Plan) Environ(v Invocation, caller []string) []string {
	env := slices.Clone(p.Env)
	for _, kv := range caller {
		name, _, ok := strings.Cut(kv, "=")
		if ok && p.passes(name) && indexEnv(env, name) < 0 {
			env = append(env, kv)
		}
	}
	for _, kv := range v.Env {
		name, _, ok := strings.Cut(kv, "=")
		if !ok {
			n := indexEnv(caller, name)
			if n < 0 {
				continue
			}
			kv = caller[n]
		}
		if n := indexEnv(env, name); n >= 0 {
			env[n] = kv
		} else {
			env = append(env, kv)
		}
	}
	return env
}

func (p *Plan) passes(name string) bool {
	for _, pat := range p.Pass {
		switch {
		case pat == name:
			return true
		case strings.HasSuffix(pat, "*") && strings.HasPrefix(name, pat[:len(pat)-1]):
			return true
		case strings.HasPrefix(pat, "*") && strings.HasSuffix(name, pat[1:]):
			return true
		}
	}
	return false
}

func indexEnv(env []string, name string) int {
	for n, e := range env {
		if len(e) > len(name) && e[len(name)] == '=' && e[:len(name)] == name {
			return n
		}
	}
	return -1
}
