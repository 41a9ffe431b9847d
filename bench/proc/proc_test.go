package proc

import (
	"os"
	"testing"
)

func TestParse(t *testing.T) {
	seconds, err := parseStat("7 (a ) 1 b) S 1 7 7 0 -1 4194304 100 0 0 0 250 150 9 9 20 0 1 0")
	if err != nil || seconds != 4 {
		t.Errorf("%v seconds, %v", seconds, err)
	}
	if _, err := parseStat("7 (x) S 1"); err == nil {
		t.Error("a short line is taken")
	}
	if busy := parseBusy("cpu  100 10 200 5000 60 3 30 7 0 0\ncpu0 1 1 1\n"); busy != 3.5 {
		t.Errorf("busy %v seconds", busy)
	}
	text := "MemTotal: 1000 kB\nMemFree: 300 kB\nBuffers: 20 kB\nCached: 80 kB\nSlab: 7 kB\nHugePages_Total: 3\n"
	if m, err := parseMemory(text); err != nil || m != (Memory{Total: 1000 << 10, Used: 600 << 10, Slab: 7 << 10}) {
		t.Errorf("%+v, %v", m, err)
	}
	if _, err := parseMemory("MemTotal: 1000 kB\n"); err == nil {
		t.Error("a memory without free is taken")
	}
	zones := "Node 0, zone  Normal\n  pagesets\n    cpu: 0\n              count:    40\n              high:     99\n    cpu: 1\n              count:    2\n"
	if pages := parsePagesets(zones); pages != 42 {
		t.Errorf("%d pages", pages)
	}
	snmp := "Ip: OutSegs\nIp: 1\nTcp: A OutSegs RetransSegs\nTcp: 1 22 3\n"
	if sent, again := parseColumn(snmp, "Tcp:", "OutSegs"), parseColumn(snmp, "Tcp:", "RetransSegs"); sent != 22 || again != 3 {
		t.Errorf("%d segments, %d again", sent, again)
	}
	dev := "Inter-|   Receive  |  Transmit\n face |bytes\n    lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n c10m0:21 2 3 4 5 6 7 8 9 10 11 77 13 14 15 16\n"
	if parseDeviceDrops(dev, "c10m0") != 77 || parseDeviceDrops(dev, "c10m") != 0 {
		t.Error("the drops of a device")
	}
	netstat := "TcpExt: A ListenDrops B\nTcpExt: 1 22 3\nIpExt: X\nIpExt: 9\n"
	if drops := parseListenDrops(netstat); drops != 22 {
		t.Errorf("%d drops", drops)
	}
}

// What the kernel says of this process and host can be read at all.
func TestRead(t *testing.T) {
	if _, err := CPU(os.Getpid()); err != nil {
		t.Error(err)
	}
	resident, err := Resident(os.Getpid())
	memory, errMemory := HostMemory()
	if err != nil || errMemory != nil || resident == 0 || memory.Used <= resident/2 || memory.Total < memory.Used {
		t.Errorf("resident %d, %v; host %+v, %v", resident, err, memory, errMemory)
	}
	if OwnCPU() <= 0 || BusyCPU() < OwnCPU()/2 {
		t.Errorf("own %v, host %v", OwnCPU(), BusyCPU())
	}
	if _, err := Resident(-1); err == nil {
		t.Error("no such process, and no error")
	}
	if _, err := CPU(-1); err == nil {
		t.Error("no such process, and no error")
	}
}
