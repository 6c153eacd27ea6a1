/* What the engine wants of glibc 2.38, for systems with an older one: preloaded into its process.

   The declarations are written out because the headers of a newer glibc would turn each of these calls into a call of
   the very function that it stands in. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>

typedef struct _IO_FILE FILE;
long strtol(const char *, char **, int);
unsigned long strtoul(const char *, char **, int);
long long strtoll(const char *, char **, int);
unsigned long long strtoull(const char *, char **, int);
int vsscanf(const char *, const char *, va_list);
int vfscanf(FILE *, const char *, va_list);

#ifdef __aarch64__
#define OLDEST_GLIBC "GLIBC_2.17"
#else
#define OLDEST_GLIBC "GLIBC_2.2.5"
#endif

/* These differ from their older selves in that they read binary literals too. */
long __isoc23_strtol(const char *text, char **end, int base) { return strtol(text, end, base); }
unsigned long __isoc23_strtoul(const char *text, char **end, int base) { return strtoul(text, end, base); }
long long __isoc23_strtoll(const char *text, char **end, int base) { return strtoll(text, end, base); }
unsigned long long __isoc23_strtoull(const char *text, char **end, int base) { return strtoull(text, end, base); }

int __isoc23_sscanf(const char *text, const char *format, ...) {
  va_list values;
  va_start(values, format);
  int count = vsscanf(text, format, values);
  va_end(values);
  return count;
}

int __isoc23_fscanf(FILE *file, const char *format, ...) {
  va_list values;
  va_start(values, format);
  int count = vfscanf(file, format, values);
  va_end(values);
  return count;
}

/* Newer only in that it does not set errno. */
static double (*oldest_fmod)(double, double);

__attribute__((constructor)) static void find_fmod(void) { oldest_fmod = dlvsym(RTLD_NEXT, "fmod", OLDEST_GLIBC); }

double fmod(double x, double y) { return oldest_fmod(x, y); }
