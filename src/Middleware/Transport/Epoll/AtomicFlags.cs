using System.Runtime.CompilerServices;

namespace ByteStreams.Transport.Epoll;

/// <summary>Flags that several threads change without a lock.</summary>
/// <typeparam name="TFlags">An enumeration over <see cref="int"/>.</typeparam>
internal struct AtomicFlags<TFlags>
    where TFlags : unmanaged, Enum
{
    private int _bits;

    /// <summary>Whether any of these flags is set.</summary>
    public readonly bool HasAny(TFlags flags) => (Volatile.Read(in _bits) & Bits(flags)) != 0;

    /// <summary>Sets flags.</summary>
    /// <returns>The flags before.</returns>
    public TFlags Set(TFlags flags) => Flags(Interlocked.Or(ref _bits, Bits(flags)));

    /// <summary>Clears flags.</summary>
    /// <returns>The flags before.</returns>
    public TFlags Clear(TFlags flags) => Flags(Interlocked.And(ref _bits, ~Bits(flags)));

    /// <summary>Sets and clears flags at once.</summary>
    /// <returns>The flags before.</returns>
    public TFlags Change(TFlags set, TFlags clear)
    {
        _ = TryChange(set, clear, unless: default, out TFlags before);
        return before;
    }

    /// <summary>Sets and clears flags at once, unless any of others is set.</summary>
    /// <returns>Whether they were changed.</returns>
    public bool TryChange(TFlags set, TFlags clear, TFlags unless) => TryChange(set, clear, unless, out _);

    private bool TryChange(TFlags set, TFlags clear, TFlags unless, out TFlags before)
    {
        int bits = Volatile.Read(in _bits);
        while (true)
        {
            before = Flags(bits);
            if ((bits & Bits(unless)) != 0)
            {
                return false;
            }

            int seen = Interlocked.CompareExchange(ref _bits, (bits & ~Bits(clear)) | Bits(set), bits);
            if (seen == bits)
            {
                return true;
            }

            bits = seen;
        }
    }

    private static int Bits(TFlags flags) => Unsafe.BitCast<TFlags, int>(flags);

    private static TFlags Flags(int bits) => Unsafe.BitCast<int, TFlags>(bits);
}
