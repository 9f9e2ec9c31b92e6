package trust

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Layouts of ssh-keygen(1): YYYYMMDD, YYYYMMDDHHMM, YYYYMMDDHHMMSS.
const (
	timeDays    = "20060102"
	timeMinutes = "200601021504"
	timeSeconds = "20060102150405"
)

// parseOptions reads comma-separated name="value" options up to the first
// blank outside quotes, and returns what follows it.
func (e *Entry) parseOptions(s string, local *time.Location) (rest string, err error) {
	seen := make(map[string]bool)
	for {
		name, after := cutOptionName(s)
		if seen[name] {
			return "", fmt.Errorf("option %q is given twice", name)
		}
		seen[name] = true
		value, next, err := cutQuoted(name, after)
		if err != nil {
			return "", err
		}
		if err := e.setOption(name, value, local); err != nil {
			return "", err
		}
		if next == "" || next[0] == ' ' || next[0] == '\t' {
			return strings.TrimLeft(next, " \t"), e.checkWindow()
		}
		if next[0] != ',' {
			return "", fmt.Errorf("option %s: %q follows its closing quote", name, next[:1])
		}
		s = next[1:]
	}
}

// cutOptionName returns the keyword at the start of s, in lower case since
// ssh-keygen(1) has it that case does not matter.
func cutOptionName(s string) (name, after string) {
	end := strings.IndexAny(s, "=, \t\"")
	if end < 0 {
		end = len(s)
	}
	return strings.ToLower(s[:end]), s[end:]
}

// cutQuoted returns the V of ="V" at the start of s. It knows no \" within V:
// patterns and times hold neither character, so what is cut there is refused.
func cutQuoted(name, s string) (value, after string, err error) {
	switch name {
	case "namespaces", "valid-after", "valid-before":
	case "cert-authority":
		return "", "", errors.New("option cert-authority is not supported: certificates are refused, so name each signer's own key")
	default:
		return "", "", fmt.Errorf("%q is neither a known option nor a known key type: options are namespaces, valid-after, valid-before", name)
	}
	body, ok := strings.CutPrefix(s, `="`)
	if !ok {
		return "", "", fmt.Errorf("option %s: want %s=\"…\" with the quotes", name, name)
	}
	value, after, ok = strings.Cut(body, `"`)
	if !ok {
		return "", "", fmt.Errorf("option %s: no closing quote", name)
	}
	return value, after, nil
}

func (e *Entry) setOption(name, value string, local *time.Location) (err error) {
	switch name {
	case "namespaces":
		e.namespaces, err = parsePatternList(value)
	case "valid-after":
		e.ValidAfter, err = parseTime(value, local)
	case "valid-before":
		e.ValidBefore, err = parseTime(value, local)
	}
	if err != nil {
		return fmt.Errorf("option %s: %w", name, err)
	}
	return nil
}

// parseTime reads a time as ssh-keygen(1) has it: in UTC with a Z at its end,
// else in the local zone. Dates that do not exist are refused.
func parseTime(s string, local *time.Location) (time.Time, error) {
	digits, utc := strings.CutSuffix(s, "Z")
	zone := local
	if utc {
		zone = time.UTC
	}
	for _, layout := range []string{timeDays, timeMinutes, timeSeconds} {
		if len(digits) != len(layout) || strings.Trim(digits, "0123456789") != "" {
			continue
		}
		t, err := time.ParseInLocation(layout, digits, zone)
		// As in OpenSSH, nothing before 1970; and four digits of year in any zone.
		if err != nil || t.Unix() <= 0 || t.UTC().Year() > 9999 {
			return time.Time{}, fmt.Errorf("time %q does not exist or is out of range", s)
		}
		return t, nil
	}
	return time.Time{}, fmt.Errorf("time %q is not YYYYMMDD[HHMM[SS]][Z]", s)
}

// checkWindow refuses a validity that no time satisfies.
func (e *Entry) checkWindow() error {
	if !e.ValidAfter.IsZero() && !e.ValidBefore.IsZero() && !e.ValidAfter.Before(e.ValidBefore) {
		return errors.New("valid-before is not later than valid-after")
	}
	return nil
}
