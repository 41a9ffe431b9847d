package netspace

import (
	"net"
	"testing"

	"c10m/internal/patience"
)

func TestAgain(t *testing.T) {
	if !Again(t, patience.Guard) {
		return
	}
	devices, err := net.Interfaces()
	if err != nil || len(devices) != 1 || devices[0].Name != "lo" || devices[0].Flags&net.FlagUp == 0 {
		t.Errorf("the network has %+v, %v", devices, err)
	}
}
