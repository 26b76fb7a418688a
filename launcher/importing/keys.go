package importing

import "fmt"

// text, yes and list take a key out of those that nobody knows, and refuse a value of another type.
func (a *assessment) text(key string) string {
	v, there := a.keys[key]
	delete(a.keys, key)
	s, ok := v.(string)
	if there && !ok {
		a.Refuse(key, fmt.Sprintf("is %v where a text is wanted", v))
	}
	return s
}

func (a *assessment) yes(key string) bool {
	v, there := a.keys[key]
	delete(a.keys, key)
	b, ok := v.(bool)
	if there && !ok {
		a.Refuse(key, fmt.Sprintf("is %v where true or false is wanted", v))
	}
	return b
}

func (a *assessment) list(key string) (out []string) {
	v, there := a.keys[key]
	delete(a.keys, key)
	items, ok := v.([]any)
	if there && !ok {
		a.Refuse(key, fmt.Sprintf("is %v where a list is wanted", v))
	}
	for _, i := range items {
		s, ok := i.(string)
		if !ok {
			a.Refuse(key, fmt.Sprintf("has %v in it where a text is wanted", i))
			continue
		}
		out = append(out, s)
	}
	return out
}
