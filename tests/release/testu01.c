/* One test of a battery of TestU01, by its number, on the 32-bit words of standard input. Prints a line for each p-value:
   "battery number name p". Built by run_testu01.py, with TestU01 itself outside the tree. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bbattery.h"
#include "swrite.h"
#include "unif01.h"

static unsigned int words[1 << 16];
static size_t held, used;

static unsigned int next(void) {
  if (used == held) {
    used = 0;
    held = fread(words, sizeof *words, sizeof words / sizeof *words, stdin);
    if (held == 0) {
      fputs("the input has ended\n", stderr);
      exit(3);
    }
  }
  return words[used++];
}

int main(int argc, char **argv) {
  int chosen[201] = {0}; /* TestU01 numbers the tests of a battery from 1; its largest has 144 */
  const char *battery = argc == 3 ? argv[1] : "";
  const int number = argc == 3 ? atoi(argv[2]) : 0;
  if (number < 1 || number > 200) return 2;
  chosen[number] = 1;
  swrite_Basic = FALSE;
  unif01_Gen *words_of_stdin = unif01_CreateExternGenBits("stdin", next);
  if (strcmp(battery, "SmallCrush") == 0)
    bbattery_RepeatSmallCrush(words_of_stdin, chosen);
  else if (strcmp(battery, "Crush") == 0)
    bbattery_RepeatCrush(words_of_stdin, chosen);
  else if (strcmp(battery, "BigCrush") == 0)
    bbattery_RepeatBigCrush(words_of_stdin, chosen);
  else
    return 2;
  for (int i = 0; i < bbattery_NTests; ++i)
    printf("P\t%s\t%d\t%s\t%.12g\n", battery, number, bbattery_TestNames[i], bbattery_pVal[i]);
  unif01_DeleteExternGenBits(words_of_stdin);
  return 0;
}
