// SPDX-License-Identifier: GPL-2.0
/*
 * An MPI program of two processes. Each sends messages of 1 KiB to 16 MiB to the other, and
 * checks each byte that it receives.
 *
 *   mpirun -n 2 mpi
 *
 * Exit status: 1 if a byte was wrong.
 */
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define LONGEST	(16 << 20)

/* The byte at @at of a message of @len bytes that @rank sends. */
static unsigned char pattern(int rank, int len, int at)
{
	uint32_t x = (uint32_t)at * 2654435761U + (uint32_t)len + (uint32_t)rank * 97;

	return x >> 24 ^ x >> 9;
}

int main(int argc, char **argv)
{
	unsigned char *bytes = malloc(LONGEST);
	int rank, size, wrong = 0, len, at, turn;

	if (!bytes || MPI_Init(&argc, &argv) != MPI_SUCCESS)
		return 2;
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &size);
	if (size != 2)
		MPI_Abort(MPI_COMM_WORLD, 2);
	for (len = 1 << 10; len <= LONGEST; len *= 2) {
		for (turn = 0; turn < 2; turn++) {
			if (rank == turn) {
				for (at = 0; at < len; at++)
					bytes[at] = pattern(rank, len, at);
				MPI_Send(bytes, len, MPI_BYTE, !rank, 0, MPI_COMM_WORLD);
				continue;
			}
			MPI_Recv(bytes, len, MPI_BYTE, !rank, 0, MPI_COMM_WORLD,
				 MPI_STATUS_IGNORE);
			for (at = 0; at < len && !wrong; at++)
				wrong = bytes[at] != pattern(!rank, len, at);
			printf("rank %d: %d bytes %s\n", rank, len, wrong ? "wrong" : "right");
		}
	}
	MPI_Finalize();
	free(bytes);
	return wrong;
}
