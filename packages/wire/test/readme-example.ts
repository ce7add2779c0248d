import { encodePacket, OPCODES, type Packet, PacketFramer, readPacket } from '@latchkey/wire'

const request = encodePacket(1, { opcode: OPCODES.OpPing.code, payload: new TextEncoder().encode('Hello!') })

const framer = new PacketFramer() // one a connection
framer.push(request) // chunks as they come: packet borders and chunk borders are unrelated
export const received: Packet[] = []
for (let framed = framer.next(); framed !== undefined; framed = framer.next()) {
  received.push(readPacket(framed))
}
