package pull

import (
	"fmt"
	"strings"

	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/pkg/sysregistriesv2"
	"go.podman.io/image/v5/types"
)

// candidates says what a docker reference can mean, in the order to try. Short
// names follow registries.conf: aliases, then the search registries. The
// library's own resolver (pkg/shortnames) is not used since it asks questions
// on the terminal, and brings a module for that; where it would ask, this is an
// error that lists the choices.
func candidates(sys *types.SystemContext, source string) ([]reference.Named, error) {
	text, explicit := strings.CutPrefix(source, "docker://")
	normalized, err := reference.ParseNormalizedNamed(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrReference, err)
	}
	short, err := reference.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrReference, err)
	}
	named, ok := short.(reference.Named)
	if explicit || !ok || hasRegistry(named) {
		return []reference.Named{reference.TagNameOnly(normalized)}, nil
	}
	alias, _, err := sysregistriesv2.ResolveShortNameAlias(sys, reference.TrimNamed(named).String())
	if err != nil {
		return nil, fmt.Errorf("resolve short name: %w", err)
	}
	if alias != nil {
		full, err := retag(alias.Name(), named)
		if err != nil {
			return nil, err
		}
		return []reference.Named{full}, nil
	}
	return searched(sys, named)
}

// searched completes a short name with each registry that is searched.
func searched(sys *types.SystemContext, short reference.Named) ([]reference.Named, error) {
	registries, _, err := sysregistriesv2.UnqualifiedSearchRegistriesWithOrigin(sys)
	if err != nil {
		return nil, fmt.Errorf("read registries.conf: %w", err)
	}
	if len(registries) == 0 {
		return nil, fmt.Errorf("%w: %q has no alias, and registries.conf names no registries to search", ErrShortName, short)
	}
	var found []reference.Named
	for _, registry := range registries {
		full, err := retag(registry+"/"+reference.TrimNamed(short).String(), short)
		if err != nil {
			return nil, err
		}
		found = append(found, full)
	}
	mode, err := sysregistriesv2.GetShortNameMode(sys)
	if err != nil {
		return nil, fmt.Errorf("read registries.conf: %w", err)
	}
	if len(found) > 1 && mode == types.ShortNameModeEnforcing {
		return nil, fmt.Errorf("%w: %q can be any of %v", ErrShortName, short, found)
	}
	return found, nil
}

// hasRegistry tells registry.example/name, host:5000/name and localhost/name
// from a short name with a slash.
func hasRegistry(named reference.Named) bool {
	domain := reference.Domain(named)
	return strings.ContainsAny(domain, ".:") || domain == "localhost"
}

// retag gives a full name the tag or digest of the short one, or latest.
func retag(full string, short reference.Named) (reference.Named, error) {
	switch s := short.(type) {
	case reference.Digested:
		full += "@" + s.Digest().String()
	case reference.Tagged:
		full += ":" + s.Tag()
	}
	named, err := reference.ParseNormalizedNamed(full)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrReference, err)
	}
	return reference.TagNameOnly(named), nil
}
