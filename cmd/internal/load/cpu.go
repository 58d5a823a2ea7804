package load

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
)

// clockTick is the unit of times in /proc: USER_HZ is 100 on every Linux that Go
// runs on (proc(5)).
const clockTick = 10 * time.Millisecond

// cpuTime is the processor time that a process has used, its own and the kernel's
// for it. Unlike clicks per second it hardly changes when other programs want the
// same processors.
func cpuTime(pid int) (time.Duration, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, fmt.Errorf("processor time: %w", err)
	}
	return parseStat(b)
}

// parseStat reads utime and stime, fields 14 and 15. The second field is a name in
// parentheses, which may hold anything.
func parseStat(b []byte) (time.Duration, error) {
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) < 13 {
		return 0, errors.New("processor time: /proc/PID/stat is not as expected")
	}
	user, err := strconv.ParseInt(string(fields[11]), 10, 48)
	system, err2 := strconv.ParseInt(string(fields[12]), 10, 48)
	return time.Duration(user+system) * clockTick, errors.Join(err, err2)
}
