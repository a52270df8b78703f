# SPDX-License-Identifier: GPL-2.0
#
# Draws what scripts/bench-report left in *.dat:
#
#   gnuplot -e 'dir="DIR"' scripts/bench-plot.gp >bench.svg
#
# The columns are x, process_vm_readv, /proc/PID/mem, READV, target pread, BATCH, cached
# pread, cached BATCH, memcpy; the first line names them. "?" means not measured. The
# white background is for dark pages. The colours are safe for the colour-blind (Okabe
# and Ito).
set terminal svg size 1200,1400 noenhanced background rgb "white" font "sans-serif,14"
set datafile separator "\t"
set datafile missing "?"
set encoding utf8

array COLOUR[9] = ["", "#000000", "#D55E00", "#56B4E9", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#999999"]
do for [i=2:9] {
	set linetype i linecolor rgb COLOUR[i] linewidth 2 pointtype 7 pointsize 0.6
}
set border 3 linecolor rgb "#444444"
set grid ytics linetype 1 linecolor rgb "#dddddd" linewidth 1
set xtics nomirror
set ytics nomirror
set title offset 0,-0.3
set ylabel offset 1,0

set multiplot layout 3,2 margins 0.07,0.98,0.04,0.90 spacing 0.10,0.08 \
	title "Reading another process, each way on the same bytes" font "sans-serif,20"

# One key for all plots, on top.
set key at screen 0.5,0.945 center horizontal Left reverse samplen 2 maxrows 2
set title "One read (QEMU)"
set ylabel "instructions, process_vm_readv = 1"
set logscale x 2
set xrange [6:90000]
set yrange [0:*]
set xtics ("8 B" 8, "64 B" 64, "512 B" 512, "4 KiB" 4096, "16 KiB" 16384, "64 KiB" 65536)
plot for [i=2:9] dir."/size.dat" using 1:(column(i)) with linespoints linetype i title columnheader(i)
unset key

set title "1,024 small pieces (QEMU)"
set ylabel "instructions for each piece"
unset logscale
set xrange [-0.6:3.6]
set style data histogram
set style histogram clustered gap 1
set style fill solid noborder
set xtics ("8 B,\n64 in a page" 0, "8 B,\none in a page" 1, "8 B, one in a\npage, random" 2, "strings" 3)
plot for [i=2:9] dir."/scattered.dat" using i linetype i title columnheader(i)

set ylabel "GB/s"
set logscale x 2
set xrange [48*1024:90*1024*1024]
set xtics ("64 KiB" 65536, "256 KiB" 262144, "1 MiB" 1048576, "4 MiB" 4194304, \
	"16 MiB" 16777216, "64 MiB" 67108864)
# memcpy in a cache is far above.
set yrange [0:20]
set title "One read, pages as a fresh process gets them (User mode Linux)"
plot for [i=2:9] dir."/bulk_in_order.dat" using 1:(column(i)) with linespoints linetype i notitle
set title "One read, pages physically scattered (User mode Linux)"
plot for [i=2:9] dir."/bulk_scattered.dat" using 1:(column(i)) with linespoints linetype i notitle

set logscale xy
set title "1 to 65,536 words of 8 B, 64 in a page (QEMU)"
set ylabel "instructions for each word"
set xrange [0.7:100000]
set yrange [10:10000]
set xtics ("1" 1, "16" 16, "256" 256, "4,096" 4096, "65,536" 65536)
plot for [i=2:9] dir."/segments_64_a_page.dat" using 1:(column(i)) with linespoints linetype i notitle
set title "One read, 64 KiB to 1 GiB (QEMU)"
set ylabel "instructions for each KiB"
set xrange [45000:1500000000.0]
set yrange [10:1000]
set xtics ("64 KiB" 65536, "1 MiB" 1048576, "16 MiB" 16777216, "256 MiB" 268435456, "1 GiB" 1073741824)
plot for [i=2:9] dir."/bytes.dat" using 1:(column(i)) with linespoints linetype i notitle
unset multiplot
