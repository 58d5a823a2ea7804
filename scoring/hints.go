package scoring

import (
	"strings"

	"clickgate/gateway/click"
)

// Client hints that Chromium sends with every request over HTTPS since version 89, without
// being asked (User-Agent Client Hints, WICG; low entropy by default).
const hintsSince = 89

// engine is whose headers a browser sends.
type engine uint8

const (
	otherEngine engine = iota
	chromium
	gecko
	webKit
)

// system is the operating system that an agent or a hint names.
type system uint8

const (
	unknownSystem system = iota
	windows
	macOS
	iOS
	android
	chromeOS
	linux
)

// engineOf is the engine that an agent names, and the version of Chromium, 0 of others.
func engineOf(agent string) (engine, int) {
	if _, rest, found := strings.Cut(agent, "Chrome/"); found {
		return chromium, leadingNumber(rest)
	}
	switch {
	case strings.Contains(agent, "Firefox/"):
		return gecko, 0
	case strings.Contains(agent, "AppleWebKit/"):
		return webKit, 0
	}
	return otherEngine, 0
}

// leadingNumber is the number that a text begins with, 0 for none or one of more than
// four digits.
func leadingNumber(s string) (n int) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			break
		}
		if n = 10*n + int(s[i]-'0'); n > 9999 {
			return 0
		}
	}
	return n
}

// systemOf is the operating system that an agent names.
func systemOf(agent string) system {
	for _, s := range [...]struct {
		word   string
		system system
	}{
		{"Windows NT", windows}, {"CrOS ", chromeOS}, {"Android", android}, {"iPhone", iOS}, {"iPad", iOS}, {"iPod", iOS},
		{"Macintosh", macOS}, {"Linux", linux},
	} {
		if strings.Contains(agent, s.word) {
			return s.system
		}
	}
	return unknownSystem
}

// platformOf is the operating system that Sec-CH-UA-Platform names.
func platformOf(hint string) system {
	switch strings.Trim(hint, `" `) {
	case "Windows":
		return windows
	case "macOS":
		return macOS
	case "iOS":
		return iOS
	case "Android":
		return android
	case "Chrome OS", "Chromium OS":
		return chromeOS
	case "Linux":
		return linux
	}
	return unknownSystem
}

// brandsOf reads Sec-CH-UA: Chromium's version, 0 when no brand is Chromium, and whether
// a brand is Chromium without a screen. Other brands are made up to be ignored.
func brandsOf(hint string) (version int, headless bool) {
	for hint != "" {
		name, rest, found := quoted(hint)
		if !found {
			break
		}
		hint = rest
		switch name {
		case "Chromium":
			if v, ok := strings.CutPrefix(rest, `;v="`); ok {
				version = leadingNumber(v)
			}
		case "HeadlessChrome":
			headless = true
		}
		// Skip the version, which is quoted too.
		if strings.HasPrefix(rest, `;v="`) {
			_, hint, _ = quoted(rest)
		}
	}
	return version, headless
}

// quoted is the first text in quotes, as it is written, and what follows it.
func quoted(s string) (text, rest string, found bool) {
	begin := strings.IndexByte(s, '"')
	if begin < 0 {
		return "", "", false
	}
	for i := begin + 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return s[begin+1 : i], s[i+1:], true
		}
	}
	return "", "", false
}

// hintOddities holds the client hints against the agent. People who ask for the desktop
// site on a telephone have an agent of Linux, and Android is theirs still.
func hintOddities(agent string, h *click.ClientHints) (odd int) {
	if *h == (click.ClientHints{}) {
		return 0
	}
	odd = headersHints
	version, headless := brandsOf(h.Brands)
	if headless {
		odd |= headersHeadless
	}
	says, hinted := systemOf(agent), platformOf(h.Platform)
	desktopSite := says == linux && hinted == android
	if says != unknownSystem && hinted != unknownSystem && says != hinted && !desktopSite && !(says == linux && hinted == chromeOS || says == chromeOS && hinted == linux) {
		odd |= headersPlatform
	}
	switch says {
	case windows, macOS, chromeOS, linux:
		if h.Mobile == "?1" && !desktopSite {
			odd |= headersMobile
		}
	case android:
		if h.Mobile == "?0" && strings.Contains(agent, " Mobile") {
			odd |= headersMobile
		}
	}
	if version > 0 && otherBrowser(agent, version) {
		odd |= headersVersion
	}
	return odd
}

// otherBrowser reports whether an agent is not of Chromium of this version: of another
// version, or of a browser that sends no client hints.
func otherBrowser(agent string, version int) bool {
	switch e, v := engineOf(agent); e {
	case chromium:
		return v != version
	case gecko:
		return true
	case webKit:
		return strings.Contains(agent, "Version/") && strings.Contains(agent, "Safari/")
	}
	return false
}

// bare reports whether Chromium of this agent would send client hints over HTTPS, and
// the click has none. A view within an app need not.
func bare(agent string, e engine, version int, h *click.ClientHints) bool {
	return e == chromium && version >= hintsSince && *h == (click.ClientHints{}) && !strings.Contains(agent, "; wv)")
}
