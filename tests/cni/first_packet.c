/* SPDX-License-Identifier: Apache-2.0 */
/*
 * first_packet TEXT ADDRESS:PORT...: the only program of a container, linked statically, that does nothing before it
 * sends: one UDP datagram with the text to each IPv4 destination, 20 times over 100 ms. Exit status 0, whatever becomes
 * of them.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 20

int main(int argc, char **argv)
{
	const struct timespec pause = {.tv_nsec = 5000000};
	int fd = socket(AF_INET, SOCK_DGRAM, 0), round, i;

	for (round = 0; fd >= 0 && round < ROUNDS; round++) {
		for (i = 2; i < argc; i++) {
			struct sockaddr_in to = {.sin_family = AF_INET};
			char address[INET_ADDRSTRLEN];
			unsigned int port;

			if (sscanf(argv[i], "%15[0-9.]:%u", address, &port) != 2 ||
			    inet_pton(AF_INET, address, &to.sin_addr) != 1)
				return EXIT_FAILURE;
			to.sin_port = htons((unsigned short)port);
			sendto(fd, argv[1], strlen(argv[1]), 0, (struct sockaddr *)&to, sizeof(to));
		}
		nanosleep(&pause, NULL);
	}
	return fd < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
