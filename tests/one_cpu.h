/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Use only one CPU for a while.
 */
#ifndef PVMREAD_ONE_CPU_H
#define PVMREAD_ONE_CPU_H

void leave_one_cpu(void);
void bring_cpus_back(void);

#endif /* PVMREAD_ONE_CPU_H */
