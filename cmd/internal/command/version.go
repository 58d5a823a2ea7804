package command

import (
	"fmt"
	"runtime"

	"clickgate/cmd/internal/report"
)

type versionCmd struct {
	JSON bool `help:"Write JSON."`
}

func (c *versionCmd) Run(s *session) error {
	platform := runtime.GOOS + "/" + runtime.GOARCH
	if c.JSON {
		return report.WriteJSON(s.Stdout, map[string]string{"version": s.Version, "go": runtime.Version(), "platform": platform})
	}
	_, err := fmt.Fprintf(s.Stdout, "clickgate %s (%s, %s)\n", s.Version, runtime.Version(), platform)
	return err
}
