// SPDX-License-Identifier: Apache-2.0
// Prints what getenv() says of each name that it reads from its standard input, a line for a line; `-` for nothing.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void) {
  char name[256];
  setvbuf(stdout, NULL, _IOLBF, 0);
  while (fgets(name, sizeof name, stdin) != NULL) {
    name[strcspn(name, "\n")] = '\0';
    const char* value = getenv(name);
    puts(value != NULL ? value : "-");
  }
  return 0;
}
