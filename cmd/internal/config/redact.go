package config

import (
	"net/url"
	"regexp"
	"strings"
)

const redacted = "REDACTED"

var (
	urlSecret  = regexp.MustCompile(`(?i)([a-z][a-z0-9+.-]*://[^\s:/@]*):[^\s]*@`)
	pairSecret = regexp.MustCompile(`(?i)(pass\w*|secret\w*|pwd)(\s*=\s*)('(?:[^'\\]|\\.)*'?|[^\s&"]+)`)
	lineSecret = regexp.MustCompile(`(?i)^(\s*(?:-\s*)?["']?\w*(?:dsn|pass|pwd|secret|token|routing_key)\w*["']?\s*:\s*)(\S.*)$`)
	flowSecret = regexp.MustCompile(`(?i)([{,]\s*["']?\w*(?:dsn|pass|pwd|secret|token|routing_key)\w*["']?\s*:)\s*[^\s].*$`)
	keyText    = regexp.MustCompile(`[A-Za-z0-9+/]{43}=|\b[0-9A-Fa-f]{64}\b`) // 32 bytes in base64 or hex
)

// Redact takes passwords and keys out of a free text. It rather takes too much.
func Redact(text string) string {
	text = urlSecret.ReplaceAllString(text, "${1}:"+redacted+"@")
	text = pairSecret.ReplaceAllString(text, "${1}${2}"+redacted)
	return keyText.ReplaceAllString(text, redacted)
}

// redactLine is Redact for a line of a configuration file, where the name before
// the colon tells a secret.
func redactLine(line string) string {
	line = lineSecret.ReplaceAllString(line, "${1}"+redacted)
	line = flowSecret.ReplaceAllString(line, "${1} "+redacted)
	return Redact(line)
}

// isSecret tells by the last part of its name whether a setting is a secret.
func isSecret(key string) bool {
	name := key[strings.LastIndexByte(key, '.')+1:]
	for _, word := range []string{"dsn", "pass", "pwd", "secret", "token", "routing_key"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// redactValue shows of a secret what helps to recognise it: of a URL all but
// password and query, of anything else nothing.
func redactValue(text string) string {
	u, err := url.Parse(text)
	if text == "" {
		return ""
	}
	if err != nil || u.Scheme == "" || u.Host == "" {
		return redacted
	}
	if _, has := u.User.Password(); has {
		u.User = url.UserPassword(u.User.Username(), redacted)
	}
	if u.RawQuery != "" {
		u.RawQuery = redacted
	}
	u.Fragment = ""
	return u.String()
}
