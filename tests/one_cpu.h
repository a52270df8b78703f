/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Do with one CPU for a while.
 */
#ifndef PVMREAD_ONE_CPU_H
#define PVMREAD_ONE_CPU_H

void leave_one_cpu(void);
void bring_cpus_back(void);

#endif /* PVMREAD_ONE_CPU_H */
