package scoring

import (
	"strings"

	"clickgate/gateway/click"
	"clickgate/scoring/givt"

	"github.com/cespare/xxhash/v2"
)

// fillHeaders writes what the request's headers and its token say. They are kept as the
// gateway saw them: the second pass has no headers.
func fillHeaders(v *click.Vector, c *click.Click, sig *click.Signals, agent givt.AgentClass) {
	v[SlotHeaders] = float32(oddities(c, sig, agent))
	v[SlotTokenAge] = tokenAge(c, sig)
	v[SlotFingerprint] = fingerprint(c, sig.AcceptLanguage)
}

// oddities says what is strange. Only visitors who come themselves show that they sent
// no language: senders and logs may just not tell.
func oddities(c *click.Click, sig *click.Signals, agent givt.AgentClass) int {
	if agent != givt.None {
		return 0
	}
	odd := 0
	direct := visitsItself(c)
	if direct {
		odd |= hintOddities(sig.UserAgent, &sig.Hints)
	}
	if direct || sig.AcceptLanguage != "" {
		odd |= headersKnown
	}
	switch {
	case sig.AcceptLanguage == "":
		if direct && strings.HasPrefix(sig.UserAgent, "Mozilla/5.0 (") {
			odd |= headersNoLanguage
		}
	case !readable(sig.AcceptLanguage):
		odd |= headersBadLanguage
	case foreign(sig.AcceptLanguage, c.Country):
		odd |= headersForeign
	}
	if contradicts(sig.UserAgent) {
		odd |= headersBadAgent
	}
	return odd
}

// visitsItself reports whether the visitor's own request brought the click, whose headers
// say something of him.
func visitsItself(c *click.Click) bool {
	return c.Entry == click.EntryClick || c.Entry == click.EntryBeacon
}

// tokenAge is how many seconds after its token was made out the click came, 0 when
// nobody knows. A time in whole seconds is too coarse to tell, and a clock that is
// behind that of the token's maker says nothing; both read as not known.
func tokenAge(c *click.Click, sig *click.Signals) float32 {
	if sig.IssuedAt <= 0 || c.Flags&click.FlagTimeCoarse != 0 || c.EventTime <= sig.IssuedAt {
		return 0
	}
	return float32(float64(c.EventTime-sig.IssuedAt) / 1e6)
}

// fingerprint is ten bits of agent and language: enough to part crowds that share an
// agent, too few to tell a person's languages. It is not 0, which is no fingerprint.
func fingerprint(c *click.Click, language string) float32 {
	if language == "" {
		return 0
	}
	high, _ := halves(c.AgentKey)
	return float32(1 + (high^xxhash.Sum64String(language))%1023)
}

// readable reports whether a value is a list of language ranges (RFC 9110, 12.5.4) as
// far as its characters go.
func readable(language string) bool {
	letters := 0
	for i := range len(language) {
		switch b := language[i]; {
		case b|0x20 >= 'a' && b|0x20 <= 'z', b == '*':
			letters++
		case b >= '0' && b <= '9', strings.IndexByte("-,;=. \t", b) >= 0:
		default:
			return false
		}
	}
	return letters > 0
}

// foreign reports whether a list names regions and none is the country. People travel,
// so that this is evidence and decides nothing.
func foreign(language, country string) bool {
	if len(country) != 2 {
		return false
	}
	named := false
	for i := 2; i+2 < len(language); i++ {
		if language[i] != '-' || !regionAt(language, i+1) {
			continue
		}
		if strings.EqualFold(language[i+1:i+3], country) {
			return false
		}
		named = true
	}
	return named
}

// regionAt reports whether a region of two letters stands at i.
func regionAt(language string, i int) bool {
	letter := func(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' }
	return letter(language[i]) && letter(language[i+1]) && (i+2 == len(language) || strings.IndexByte(",; \t", language[i+2]) >= 0)
}

// systems are how the comment begins in which a browser names its operating system.
var systems = [...]string{"Windows NT ", "Macintosh;", "iPhone;", "iPad;", "X11;", "Linux; Android "}

// contradicts reports whether an agent names two operating systems at once.
func contradicts(agent string) bool {
	named := 0
	for {
		i := strings.IndexByte(agent, '(')
		if i < 0 {
			return named > 1
		}
		agent = agent[i+1:]
		for _, s := range systems {
			if strings.HasPrefix(agent, s) {
				named++
				break
			}
		}
	}
}
