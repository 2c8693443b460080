using System.Diagnostics.CodeAnalysis;
using System.Net.Sockets;
using ByteStreams.Transport.Interop;

namespace ByteStreams.Transport;

/// <summary>
/// The process's limit of open descriptors (RLIMIT_NOFILE), and the distance that sockets keep from it. The runtime needs two descriptors to
/// start a thread, and terminates the process ("Out of memory.") if it gets none.
/// </summary>
/// <remarks>
/// The system assigns the lowest free number, and a socket is kept only if its number is below the stop of its use. The numbers above the
/// last stop are therefore left to the runtime and the program, without a count that could be wrong.
/// <code>
/// 0            accept's stop   connect's stop   administration's stop   Most
/// | everything      | upstreams, checks | health, metrics | runtime, files |
/// </code>
/// </remarks>
internal sealed class DescriptorLimit
{
    /// <summary>
    /// The wait between two attempts to open a socket during a shortage. No event reports that a descriptor was closed.
    /// </summary>
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(10);

    /// <summary>Serialises outgoing connections that wait for a descriptor, first come, first served.</summary>
    private readonly PermitLimiter _dispatch = new(1);

    private int _waiting;

    /// <param name="most">The limit; <see cref="long.MaxValue"/> is none.</param>
    public DescriptorLimit(long most) => Most = most;

    /// <summary>The limit of this process at its start. None on Windows.</summary>
    public static DescriptorLimit Process { get; } = new(LibC.GetDescriptorLimit());

    /// <summary>
    /// How long an outgoing connection waits for a descriptor. In a burst, clients beyond the total are accepted before they are refused;
    /// their descriptors are free again within milliseconds.
    /// </summary>
    public static TimeSpan ConnectWait { get; } = TimeSpan.FromSeconds(1);

    /// <summary>The limit.</summary>
    public long Most { get; }

    /// <summary>For starting threads (two descriptors each), files, and assemblies that are loaded late.</summary>
    private long RuntimeReserve => Math.Clamp(Most / 16, 20, 64);

    private long AdministrationReserve => Math.Clamp(Most / 64, 6, 16);

    private long ConnectReserve => Math.Clamp(Most / 64, 4, 64);

    /// <summary>The number of open descriptors at this moment; 0 where the system has no directory of them.</summary>
    public static int CountOpen()
    {
        string? directory = OperatingSystem.IsWindows() ? null : Array.Find(["/proc/self/fd", "/dev/fd"], Directory.Exists);
        // One belongs to the enumeration itself.
        return directory is null ? 0 : Directory.EnumerateFileSystemEntries(directory).Count() - 1;
    }

    /// <summary>Whether an operation failed because the process or the system has no free descriptor.</summary>
    public static bool IsShortage([NotNullWhen(true)] Exception? error) => error is SocketException { SocketErrorCode: SocketError.TooManyOpenSockets };

    /// <summary>The first descriptor number that a use does not get.</summary>
    public long StopOf(DescriptorUse use)
    {
        if (Most == long.MaxValue)
        {
            return Most;
        }

        long stop = Most - RuntimeReserve;
        if (use == DescriptorUse.Administration)
        {
            return stop;
        }

        stop -= AdministrationReserve;
        return use == DescriptorUse.Connect ? stop : stop - ConnectReserve;
    }

    /// <summary>Whether a socket that was just opened or accepted may keep its descriptor.</summary>
    /// <param name="number">The descriptor's number.</param>
    /// <param name="use">What it is for.</param>
    public bool Allows(nint number, DescriptorUse use) => number < StopOf(use);

    /// <summary>Opens a socket for an outgoing connection; waits up to <see cref="ConnectWait"/> for a free descriptor.</summary>
    /// <param name="open">Opens it.</param>
    /// <param name="number">Its descriptor's number.</param>
    /// <param name="time">The clock of the wait.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="SocketException"><see cref="SocketError.TooManyOpenSockets"/>: no descriptor became free in time.</exception>
    public ValueTask<T> OpenAsync<T>(Func<T> open, Func<T, nint> number, TimeProvider time, CancellationToken cancellationToken)
        where T : class, IDisposable =>
        Volatile.Read(ref _waiting) == 0 && TryOpen(open, number) is T opened
            ? new(opened)
            : new(WaitToOpenAsync(open, number, time, cancellationToken));

    private async Task<T> WaitToOpenAsync<T>(Func<T> open, Func<T, nint> number, TimeProvider time, CancellationToken cancellationToken)
        where T : class, IDisposable
    {
        using var late = new CancellationTokenSource(ConnectWait, time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(late.Token, cancellationToken);
        Interlocked.Increment(ref _waiting);
        try
        {
            // One attempt at a time: each opens two descriptors for a moment.
            await _dispatch.EnterAsync(both.Token).ConfigureAwait(false);
            try
            {
                while (true)
                {
                    if (TryOpen(open, number) is T opened)
                    {
                        return opened;
                    }

                    await Task.Delay(Interval, time, both.Token).ConfigureAwait(false);
                }
            }
            finally
            {
                _dispatch.Release();
            }
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new SocketException(
                (int)SocketError.TooManyOpenSockets,
                $"Nearly all of the process's {Most} descriptors are in use; raise the limit (ulimit -n, LimitNOFILE), or admit fewer connections (MaxConnections)");
        }
        finally
        {
            Interlocked.Decrement(ref _waiting);
        }
    }

    private T? TryOpen<T>(Func<T> open, Func<T, nint> number)
        where T : class, IDisposable
    {
        T opened;
        try
        {
            opened = open();
        }
        catch (SocketException error) when (IsShortage(error))
        {
            return null;
        }

        if (Allows(number(opened), DescriptorUse.Connect))
        {
            return opened;
        }

        opened.Dispose();
        return null;
    }
}
