// uvarint.go PORT: sends frames with a length of encoding/binary's PutUvarint, and checks that each comes back by ReadUvarint.
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
)

func main() {
	connection, err := net.Dial("tcp", "127.0.0.1:"+os.Args[1])
	check(err)
	reader := bufio.NewReader(connection)
	sizes := []int{0, 1, 127, 128, 300, 16384, 65536}
	for _, size := range sizes {
		frame := make([]byte, size)
		for i := range frame {
			frame[i] = byte(i % 251)
		}
		header := make([]byte, binary.MaxVarintLen64)
		_, err = connection.Write(append(header[:binary.PutUvarint(header, uint64(size))], frame...))
		check(err)
		length, err := binary.ReadUvarint(reader)
		check(err)
		echo := make([]byte, length)
		_, err = io.ReadFull(reader, echo)
		check(err)
		if !bytes.Equal(echo, frame) {
			panic(fmt.Sprintf("%d bytes came back changed", size))
		}
	}
	check(connection.(*net.TCPConn).CloseWrite())
	rest, err := io.ReadAll(reader)
	check(err)
	fmt.Printf("%d frames, then %d bytes to the end\n", len(sizes), len(rest))
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
