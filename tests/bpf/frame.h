/* SPDX-License-Identifier: Apache-2.0 */
/* Frames byte by byte. Lengths in IP headers are set by frame_end(); a test that wants a wrong one sets it after that.
 */
#ifndef EGRESSD_TESTS_BPF_FRAME_H
#define EGRESSD_TESTS_BPF_FRAME_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

#include <linux/if_ether.h>

#define TCP_FIN  0x01
#define TCP_SYN  0x02
#define TCP_RST  0x04
#define TCP_ACK  0x10

#define FRAME_IP ETH_HLEN /* offset of the IP header */

struct frame {
	uint8_t bytes[2048];
	uint32_t length;
};

static inline uint32_t ipv4(const char *text)
{
	struct in_addr address = {0};

	inet_pton(AF_INET, text, &address);
	return address.s_addr;
}

static inline void ipv6(const char *text, uint32_t words[4])
{
	inet_pton(AF_INET6, text, words);
}

static inline void frame_add(struct frame *frame, const void *bytes, uint32_t length)
{
	memcpy(frame->bytes + frame->length, bytes, length);
	frame->length += length;
}

static inline void frame_add_zero(struct frame *frame, uint32_t length)
{
	memset(frame->bytes + frame->length, 0, length);
	frame->length += length;
}

static inline void frame_add16(struct frame *frame, uint16_t value)
{
	value = htons(value);
	frame_add(frame, &value, sizeof(value));
}

static inline void frame_set16(struct frame *frame, uint32_t offset, uint16_t value)
{
	frame->bytes[offset] = value >> 8;
	frame->bytes[offset + 1] = value & 0xff;
}

static inline void frame_ethernet(struct frame *frame, uint16_t ethertype)
{
	static const uint8_t addresses[] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2};

	frame->length = 0;
	frame_add(frame, addresses, sizeof(addresses));
	frame_add16(frame, ethertype);
}

/* An IP header of either family, by what the addresses look like. */
static inline void frame_ip(struct frame *frame, const char *source, const char *destination, uint8_t protocol)
{
	if (strchr(source, ':')) {
		uint8_t header[40] = {0x60, [6] = protocol, [7] = 64};

		inet_pton(AF_INET6, source, header + 8);
		inet_pton(AF_INET6, destination, header + 24);
		frame_ethernet(frame, ETH_P_IPV6);
		frame_add(frame, header, sizeof(header));
	} else {
		uint8_t header[20] = {0x45, [8] = 64, [9] = protocol};

		inet_pton(AF_INET, source, header + 12);
		inet_pton(AF_INET, destination, header + 16);
		frame_ethernet(frame, ETH_P_IP);
		frame_add(frame, header, sizeof(header));
	}
}

static inline void frame_end(struct frame *frame)
{
	if (frame->bytes[FRAME_IP] >> 4 == 4)
		frame_set16(frame, FRAME_IP + 2, frame->length - FRAME_IP);
	else
		frame_set16(frame, FRAME_IP + 4, frame->length - FRAME_IP - 40);
}

static inline void frame_tcp(struct frame *frame, uint16_t source, uint16_t destination, uint8_t flags)
{
	uint8_t rest[16] = {[8] = 5 << 4, [9] = flags};

	frame_add16(frame, source);
	frame_add16(frame, destination);
	frame_add(frame, rest, sizeof(rest));
}

static inline void frame_udp(struct frame *frame, uint16_t source, uint16_t destination)
{
	frame_add16(frame, source);
	frame_add16(frame, destination);
	frame_add16(frame, 8);
	frame_add16(frame, 0);
}

static inline void frame_icmp(struct frame *frame, uint8_t type, uint8_t code, uint16_t id)
{
	uint8_t header[8] = {type, code, [4] = id >> 8, [5] = id & 0xff};

	frame_add(frame, header, sizeof(header));
}

/*
 * The same packet with a longer header, which the programs' step for usual packets leaves to those that follow: IPv4 with
 * options, IPv6 with an extension header, both of nothing but padding.
 */
static inline struct frame frame_longer(const struct frame *frame)
{
	_Bool ipv4 = frame->bytes[FRAME_IP] >> 4 == 4;
	uint32_t header = FRAME_IP + (ipv4 ? 20 : 40);
	uint8_t options[4] = {1, 1, 1, 1}, extension[8] = {frame->bytes[FRAME_IP + 6], 0, 1, 4};
	struct frame longer = {.length = 0};

	frame_add(&longer, frame->bytes, header);
	if (ipv4) {
		longer.bytes[FRAME_IP] = 0x46;
		frame_add(&longer, options, sizeof(options));
	} else {
		longer.bytes[FRAME_IP + 6] = 60; /* destination options */
		frame_add(&longer, extension, sizeof(extension));
	}
	frame_add(&longer, frame->bytes + header, frame->length - header);
	frame_end(&longer);
	return longer;
}

/* Whole packets. */
static inline struct frame tcp(const char *source, uint16_t source_port, const char *destination,
			       uint16_t destination_port, uint8_t flags)
{
	struct frame frame;

	frame_ip(&frame, source, destination, IPPROTO_TCP);
	frame_tcp(&frame, source_port, destination_port, flags);
	frame_end(&frame);
	return frame;
}

static inline struct frame udp(const char *source, uint16_t source_port, const char *destination,
			       uint16_t destination_port)
{
	struct frame frame;

	frame_ip(&frame, source, destination, IPPROTO_UDP);
	frame_udp(&frame, source_port, destination_port);
	frame_end(&frame);
	return frame;
}

static inline struct frame sctp(const char *source, uint16_t source_port, const char *destination,
				uint16_t destination_port)
{
	struct frame frame;

	frame_ip(&frame, source, destination, IPPROTO_SCTP);
	frame_add16(&frame, source_port);
	frame_add16(&frame, destination_port);
	frame_add_zero(&frame, 12);
	frame_end(&frame);
	return frame;
}

static inline struct frame icmp(const char *source, const char *destination, uint8_t type, uint8_t code, uint16_t id)
{
	struct frame frame;

	frame_ip(&frame, source, destination, strchr(source, ':') ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
	frame_icmp(&frame, type, code, id);
	frame_end(&frame);
	return frame;
}

#endif
