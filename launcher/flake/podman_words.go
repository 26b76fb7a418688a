package flake

import (
	"fmt"
	"strings"
)

// splitEntry reads one entry. flake-pilot splits at the first blank or =, and so one entry is one option; several are
// taken, too, where each word can only be one thing. Quotes and backslashes mean what they mean to a shell; the first
// character may be a backslash, which flake-pilot's command line needed.
func splitEntry(entry string) ([]podmanWord, error) {
	text := strings.TrimPrefix(strings.TrimSpace(entry), `\`)
	words, quoted, err := shellWords(text)
	if err != nil {
		return nil, &KeyError{fmt.Sprintf("option %q", entry), err.Error(), "close the quote"}
	}
	if len(words) == 0 || !strings.HasPrefix(words[0], "-") {
		return nil, &KeyError{fmt.Sprintf("option %q", entry), "it does not begin with a dash", "write it as podman create takes it: --volume /srv:/srv"}
	}
	var out []podmanWord
	for rest := words; len(rest) > 0; {
		if !strings.HasPrefix(rest[0], "-") || len(rest[0]) < 2 {
			// As flake-pilot would have it: all behind the first blank is one value.
			if first, value, ok := strings.Cut(text, " "); ok && !quoted && len(out) == 1 && !out[0].option.flag && !strings.Contains(first, "=") {
				out[0].value = strings.TrimSpace(value)
				return out, nil
			}
			return nil, &KeyError{fmt.Sprintf("option %q", entry), fmt.Sprintf("%q is no option", rest[0]), "write one option an entry, and blanks within quotes"}
		}
		var taken []podmanWord
		if taken, rest, err = oneOption(rest); err != nil {
			return nil, err
		}
		out = append(out, taken...)
	}
	return out, nil
}

// oneOption takes one option with its value, or a cluster of short ones, off the words.
func oneOption(words []string) (taken []podmanWord, rest []string, err error) {
	word, rest := words[0], words[1:]
	if long, ok := strings.CutPrefix(word, "--"); ok {
		name, value, has := strings.Cut(long, "=")
		option := optionNamed(name)
		if option == nil {
			return nil, nil, unknownOption("--", name)
		}
		w := podmanWord{option, value, has}
		if !has && !option.flag {
			if w.value, rest, err = nextWord(option, rest); err != nil {
				return nil, nil, err
			}
		}
		return []podmanWord{w}, rest, nil
	}
	for i := 1; i < len(word); i++ {
		option := optionShort(word[i])
		if option == nil {
			return nil, nil, unknownOption("-", word[i:i+1])
		}
		w := podmanWord{option: option}
		left := word[i+1:]
		switch {
		case option.flag && strings.HasPrefix(left, "="):
			w.value, w.has, i = left[1:], true, len(word)
		case option.flag:
		case left != "":
			w.value, w.has, i = strings.TrimPrefix(left, "="), true, len(word)
		default:
			if w.value, rest, err = nextWord(option, rest); err != nil {
				return nil, nil, err
			}
		}
		taken = append(taken, w)
	}
	return taken, rest, nil
}

func nextWord(option *podmanOption, rest []string) (string, []string, error) {
	if len(rest) == 0 {
		return "", nil, &KeyError{"option --" + option.name, "its value is missing", "write --" + option.name + "=VALUE"}
	}
	return rest[0], rest[1:], nil
}

// shellWords splits as a shell does, without any expansion.
func shellWords(text string) (words []string, quoted bool, err error) {
	var word strings.Builder
	begun := false
	quote := byte(0)
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quote == '\'' && c != '\'', quote == '"' && c != '"' && c != '\\':
			word.WriteByte(c)
		case quote != 0 && c == quote:
			quote = 0
		case c == '\\' && i+1 < len(text):
			i++
			if quote == '"' && text[i] != '"' && text[i] != '\\' {
				word.WriteByte('\\')
			}
			word.WriteByte(text[i])
			begun, quoted = true, true
		case quote == 0 && (c == '\'' || c == '"'):
			quote, begun, quoted = c, true, true
		case quote == 0 && (c == ' ' || c == '\t' || c == '\n'):
			if begun {
				words = append(words, word.String())
			}
			word.Reset()
			begun = false
		default:
			word.WriteByte(c)
			begun = true
		}
	}
	if quote != 0 {
		return nil, quoted, fmt.Errorf("a %c is not closed", quote)
	}
	if begun {
		words = append(words, word.String())
	}
	return words, quoted, nil
}
