using System.Buffers.Binary;
using System.Text;
using ByteStreams.Groups;

namespace ByteStreams.Cluster.Links;

/// <summary>The buffer of a batch's entries before it is sent. Guarded by the link's lock.</summary>
internal sealed class LinkChunk
{
    /// <summary>The length in bytes from which a chunk accepts no further entry.</summary>
    private const int Full = 64 << 10;

    /// <summary>The size up to which a chunk grows by doubling. Below the large object heap's threshold, 85,000 bytes.</summary>
    private const int Usual = Full + (8 << 10);

    private const int Smallest = 256;

    private byte[] _bytes = new byte[Smallest];
    private TaskCompletionSource? _acknowledged;
    private List<TaskCompletionSource>? _inherited;

    public int Length { get; private set; }

    public int Messages { get; private set; }

    /// <summary>The bytes of its messages; the rest is interest.</summary>
    public int MessageBytes { get; private set; }

    public bool IsFull => Length >= Full;

    /// <summary>Completes when the other host has applied the batch, or when the link gives it up.</summary>
    public Task Acknowledged => (_acknowledged ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;

    /// <summary>Returns the encoded length of a message, in bytes.</summary>
    public static int Measure(string name, string? except, int message) =>
        2 + Measure(name) + Measure(except ?? string.Empty) + LengthOf(message) + message;

    public void AddMessage(TargetKind kind, string name, string? except, ReadOnlySpan<byte> message)
    {
        int size = Measure(name, except, message.Length);
        Span<byte> to = Reserve(size);
        to[0] = (byte)LinkEntry.Message;
        to[1] = (byte)kind;
        int at = 2;
        at += WriteText(to[at..], name);
        at += WriteText(to[at..], except ?? string.Empty);
        at += WriteLength(to[at..], message.Length);
        message.CopyTo(to[at..]);
        Messages++;
        MessageBytes += size;
    }

    public void AddInterest(LinkEntry entry, ulong group)
    {
        Span<byte> to = Reserve(1 + sizeof(ulong));
        to[0] = (byte)entry;
        BinaryPrimitives.WriteUInt64LittleEndian(to[1..], group);
    }

    public void AddInterestComplete() => Reserve(1)[0] = (byte)LinkEntry.InterestComplete;

    public void AddReplace(string user, long number, string id)
    {
        Span<byte> to = Reserve(1 + Measure(user) + Measure(id) + sizeof(long));
        to[0] = (byte)LinkEntry.Replace;
        int at = 1;
        at += WriteText(to[at..], user);
        at += WriteText(to[at..], id);
        BinaryPrimitives.WriteInt64LittleEndian(to[at..], number);
    }

    /// <summary>Returns a copy of the content, because an earlier attempt may still be queued in the transport.</summary>
    public byte[] ToContent() => _bytes.AsSpan(0, Length).ToArray();

    public void Acknowledge()
    {
        _acknowledged?.TrySetResult();
        foreach (TaskCompletionSource waiting in _inherited ?? [])
        {
            waiting.TrySetResult();
        }
    }

    /// <summary>Takes over the waiters of a dropped chunk.</summary>
    public void Inherit(LinkChunk dropped)
    {
        if (dropped._acknowledged is not null)
        {
            (_inherited ??= []).Add(dropped._acknowledged);
        }

        if (dropped._inherited is not null)
        {
            (_inherited ??= []).AddRange(dropped._inherited);
        }
    }

    private static int Measure(string text)
    {
        int length = Encoding.UTF8.GetByteCount(text);
        return LengthOf(length) + length;
    }

    private static int LengthOf(int value)
    {
        int length = 1;
        for (uint rest = (uint)value >> 7; rest != 0; rest >>= 7)
        {
            length++;
        }

        return length;
    }

    private static int WriteLength(Span<byte> to, int value)
    {
        int at = 0;
        uint rest = (uint)value;
        for (; rest >= 0x80; rest >>= 7)
        {
            to[at++] = (byte)(rest | 0x80);
        }

        to[at++] = (byte)rest;
        return at;
    }

    private static int WriteText(Span<byte> to, string text)
    {
        int at = WriteLength(to, Encoding.UTF8.GetByteCount(text));
        return at + Encoding.UTF8.GetBytes(text, to[at..]);
    }

    private Span<byte> Reserve(int count)
    {
        int needed = Length + count;
        if (needed > _bytes.Length)
        {
            Array.Resize(ref _bytes, Math.Max(needed, Math.Min(2 * _bytes.Length, Usual)));
        }

        Span<byte> reserved = _bytes.AsSpan(Length, count);
        Length = needed;
        return reserved;
    }
}
