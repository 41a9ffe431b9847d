package usertcp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Device is a TUN device with one queue for each stack. It goes with the
// last of its queues.
type Device struct {
	// Fixed after construction.
	Name   string
	Queues []*Queue
}

// A Queue is one way into and out of the device. One goroutine uses it.
type Queue struct {
	// Fixed after construction.
	fd int

	// Owned by that goroutine.
	buffer []byte
}

// vnetHeaderBytes is a struct virtio_net_hdr.
const vnetHeaderBytes = 10

// PacketHeader is what comes before each packet that is written: checksums are
// left to the device (VIRTIO_NET_HDR_F_NEEDS_CSUM), which does not look at what
// comes from this host.
func PacketHeader() []byte {
	h := make([]byte, vnetHeaderBytes)
	h[0] = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM
	nativePut16(h[6:], ipHeaderBytes) // where the sum begins
	nativePut16(h[8:], 16)            // and where it belongs
	return h
}

func nativePut16(p []byte, v uint16) { *(*uint16)(unsafe.Pointer(&p[0])) = v }

// OpenDevice makes a device with the server's address, and queues to which the
// kernel gives what goes to perQueue addresses each. name may have %d in it.
func OpenDevice(name string, network Network, queues int, perQueue int) (d *Device, err error) {
	if other := inUse(network.Prefix); other != "" {
		return nil, fmt.Errorf("this host has %s already, which is in %v: take another address for the server, or a network namespace", other, network.Prefix)
	}
	d = &Device{Name: name}
	defer func() {
		if err != nil {
			d.Close()
		}
	}()
	for range queues {
		q, err := d.openQueue(queues > 1)
		if err != nil {
			return d, err
		}
		d.Queues = append(d.Queues, q)
	}
	if queues > 1 {
		if err := steer(d.Queues[0].fd, network.FirstSource(), perQueue); err != nil {
			return d, fmt.Errorf("cannot give each queue of the device its packets: %w; take one queue", err)
		}
	}
	return d, d.configure(network)
}

// inUse is an address of this host that lies in the prefix, if there is one.
func inUse(prefix netip.Prefix) string {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return ""
	}
	for _, a := range addresses {
		if p, err := netip.ParsePrefix(a.String()); err == nil && prefix.Overlaps(p) && p.Bits() > 0 {
			return p.String()
		}
	}
	return ""
}

func (d *Device) openQueue(several bool) (*Queue, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open /dev/net/tun: %w; load the module tun, or let this container have the device", err)
	}
	request, err := unix.NewIfreq(d.Name)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("the device's name %q is too long: %w", d.Name, err)
	}
	flags := uint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if several {
		flags |= unix.IFF_MULTI_QUEUE
	}
	request.SetUint16(flags)
	if err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		unix.Close(fd)
		if errors.Is(err, unix.EPERM) {
			return nil, fmt.Errorf("a TUN device needs CAP_NET_ADMIN: run as root, or in a user and network namespace of your own (unshare -rn)")
		}
		return nil, fmt.Errorf("cannot make the TUN device %s: %w", d.Name, err)
	}
	d.Name = request.Name()
	if err = unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, unix.TUN_F_CSUM|unix.TUN_F_TSO4); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("the TUN device has no checksum offload: %w", err)
	}
	return &Queue{fd: fd, buffer: make([]byte, packetBytesMax)}, nil
}

// configure gives the device its address, network and queue, and turns it on.
func (d *Device) configure(network Network) error {
	control, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot configure the TUN device: %w", err)
	}
	defer unix.Close(control)
	mask := net.CIDRMask(network.Prefix.Bits(), 32)
	server := network.Server.As4()
	for _, step := range []struct {
		what  string
		code  uint
		value func(*unix.Ifreq) error
	}{
		{"address", unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(server[:]) }},
		{"network", unix.SIOCSIFNETMASK, func(r *unix.Ifreq) error { return r.SetInet4Addr(mask) }},
		{"packet size", unix.SIOCSIFMTU, func(r *unix.Ifreq) error { r.SetUint32(mtuBytes); return nil }},
		{"queue", unix.SIOCSIFTXQLEN, func(r *unix.Ifreq) error { r.SetUint32(txQueuePackets); return nil }},
		{"flags", unix.SIOCSIFFLAGS, func(r *unix.Ifreq) error { r.SetUint16(unix.IFF_UP); return nil }},
	} {
		request, err := unix.NewIfreq(d.Name)
		if err == nil {
			err = step.value(request)
		}
		if err == nil {
			err = unix.IoctlIfreq(control, step.code, request)
		}
		if err != nil {
			return fmt.Errorf("cannot set the %s of the TUN device %s: %w", step.what, d.Name, err)
		}
	}
	return nil
}

// steer has the kernel choose the queue of a packet by its destination: a
// program for the socket filter that returns (address - first) / perQueue.
func steer(fd int, first uint32, perQueue int) error {
	const destination = 16 // in the IPv4 header
	program := []uint64{
		instruction(0xbf, 6, 1, 0), // r6 = r1, the packet
		instruction(unix.BPF_LD|unix.BPF_ABS|unix.BPF_W, 0, 0, destination), // r0 = its destination
		instruction(unix.BPF_ALU|unix.BPF_SUB|unix.BPF_K, 0, 0, first),
		instruction(unix.BPF_ALU|unix.BPF_DIV|unix.BPF_K, 0, 0, uint32(perQueue)),
		instruction(0x95, 0, 0, 0), // return r0
	}
	license := []byte("GPL\x00")
	attributes := struct {
		kind, count      uint32
		program, license uint64
		_                [80]byte
	}{kind: unix.BPF_PROG_TYPE_SOCKET_FILTER, count: uint32(len(program)),
		program: uint64(uintptr(unsafe.Pointer(&program[0]))), license: uint64(uintptr(unsafe.Pointer(&license[0])))}
	loaded, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_LOAD, uintptr(unsafe.Pointer(&attributes)), unsafe.Sizeof(attributes))
	if errno != 0 {
		return errno
	}
	defer unix.Close(int(loaded))
	return unix.IoctlSetPointerInt(fd, unix.TUNSETSTEERINGEBPF, int(loaded))
}

// instruction is a struct bpf_insn.
func instruction(code, destination, source uint8, value uint32) uint64 {
	return uint64(code) | uint64(source<<4|destination)<<8 | uint64(value)<<32
}

// Close ends the device.
func (d *Device) Close() {
	for _, q := range d.Queues {
		unix.Close(q.fd)
	}
	d.Queues = nil
}

// FD is of Wire.
func (q *Queue) FD() int { return q.fd }

// Read is of Wire.
func (q *Queue) Read() ([]byte, syscall.Errno) {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(q.fd), uintptr(unsafe.Pointer(&q.buffer[0])), uintptr(len(q.buffer)))
	if errno != 0 || n < vnetHeaderBytes {
		return nil, errno
	}
	return q.buffer[vnetHeaderBytes:n], 0
}

// Write is of Wire. What the server does about
// it, the kernel does on this thread.
func (q *Queue) Write(packet []byte) syscall.Errno {
	_, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(q.fd), uintptr(unsafe.Pointer(&packet[0])), uintptr(len(packet)))
	return errno
}
