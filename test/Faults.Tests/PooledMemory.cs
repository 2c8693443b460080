using System.Collections.Concurrent;
using System.Diagnostics.Tracing;

namespace ByteStreams.Faults.Tests;

/// <summary>
/// Blocks that were taken from the shared pool of arrays since this began and not given back, by the pool's own events: what
/// connections hold.
/// </summary>
internal sealed class PooledMemory : EventListener
{
    private const int Rented = 1;
    private const int Returned = 3;

    /// <summary>Smaller ones are no connection's buffers: SslStream leaves the 32 bytes of each close_notify to the collector.</summary>
    private const int Smallest = 1024;

    /// <summary>Costs too much for every run: with BYTESTREAMS_POOL_STACKS=1 a failed test says who has taken what is still out.</summary>
    private static readonly bool KeepsStacks = Environment.GetEnvironmentVariable("BYTESTREAMS_POOL_STACKS") == "1";

    private readonly ConcurrentDictionary<int, (int Size, string? Stack)> _rented = new();
    [ThreadStatic]
    private static bool _isAtWork;

    private long _bytes;
    private long _peak;

    /// <summary>Bytes that are out.</summary>
    public long Bytes => Interlocked.Read(ref _bytes);

    /// <summary>The most bytes that were out at once.</summary>
    public long Peak => Interlocked.Read(ref _peak);

    /// <summary>The blocks that are out.</summary>
    public override string ToString() => string.Join("; ", _rented.Values
        .GroupBy(block => block)
        .Select(group => $"{group.Count()} of {group.Key.Size} bytes {group.Key.Stack ?? "(BYTESTREAMS_POOL_STACKS=1 tells whose)"}"));

    protected override void OnEventSourceCreated(EventSource eventSource)
    {
        if (eventSource.Name == "System.Buffers.ArrayPoolEventSource")
        {
            EnableEvents(eventSource, EventLevel.Verbose);
        }
    }

    protected override void OnEventWritten(EventWrittenEventArgs eventData)
    {
        // The base class listens before the fields of this one are there.
        if (_rented is null || eventData.EventId is not (Rented or Returned))
        {
            return;
        }

        if (_isAtWork)
        {
            // A stack trace takes blocks too.
            return;
        }

        int id = (int)eventData.Payload![0]!;
        if (eventData.EventId == Returned)
        {
            if (_rented.TryRemove(id, out (int Size, string? Stack) block))
            {
                Interlocked.Add(ref _bytes, -block.Size);
            }
        }
        else if ((int)eventData.Payload[1]! >= Smallest && _rented.TryAdd(id, ((int)eventData.Payload[1]!, KeepsStacks ? StackTrace() : null)))
        {
            long bytes = Interlocked.Add(ref _bytes, (int)eventData.Payload[1]!);
            for (long peak = Peak; bytes > peak && Interlocked.CompareExchange(ref _peak, bytes, peak) != peak; peak = Peak)
            {
            }
        }
    }

    private static string StackTrace()
    {
        _isAtWork = true;
        try
        {
            return Environment.StackTrace;
        }
        finally
        {
            _isAtWork = false;
        }
    }
}
