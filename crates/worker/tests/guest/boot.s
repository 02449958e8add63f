# A guest of one disk sector, for tests of the runtime. It counts its boots on its disk, prints the count on the serial
# console, echoes what is typed there, powers off when the power button is pressed or 'x' is typed, and ignores the
# power button after 'i'.
#   as --32 -o boot.o boot.s && objcopy -O binary -j .text boot.o boot.bin
.code16
.globl _start
_start:
    xor %ax, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    mov $0x7000, %sp
    mov %dl, drive + 0x7c00
    mov $0x100, %ax           # PM1 enable: the power button (q35: ports at 0x600)
    mov $0x602, %dx
    out %ax, %dx
    mov $0x42, %ah            # read sector 1 to 0x8000
    call disk
    mov 0x8000, %bl
    incb 0x8000
    mov $0x4300, %ax          # write the next count before saying this one
    push %bx
    call disk
    pop %bx
    mov $message + 0x7c00, %si
print:
    lodsb
    test %al, %al
    jz count
    call put
    jmp print
count:
    mov %bl, %al
    add $'0', %al
    call put
    mov $'\n', %al
    call put
loop:
    mov $0x3fd, %dx           # typed?
    in %dx, %al
    test $1, %al
    jz button
    mov $0x3f8, %dx
    in %dx, %al
    cmp $'x', %al
    je off
    cmp $'i', %al
    jne echo
    movb $1, ignore + 0x7c00
echo:
    call put
button:
    cmpb $0, ignore + 0x7c00
    jne loop
    mov $0x600, %dx           # PM1 status
    in %dx, %ax
    test $0x100, %ax
    jz loop
off:
    mov $0x604, %dx           # PM1 control: sleep, type 0 is off
    mov $0x2000, %ax
    out %ax, %dx
    hlt
put:
    push %ax
1:  mov $0x3fd, %dx
    in %dx, %al
    test $0x20, %al
    jz 1b
    pop %ax
    mov $0x3f8, %dx
    out %al, %dx
    ret
disk:
    mov $packet + 0x7c00, %si
    mov drive + 0x7c00, %dl
    int $0x13
    ret
packet:
    .byte 16, 0, 1, 0
    .word 0x8000, 0
    .quad 1
drive:
    .byte 0
ignore:
    .byte 0
message:
    .asciz "guest boot "
.org 510
    .word 0xaa55
