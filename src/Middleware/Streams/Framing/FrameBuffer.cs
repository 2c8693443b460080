using System.Buffers;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace ByteStreams.Streams;

/// <summary>
/// The bytes of one message while a serializer writes it: its length comes before them. Each thread keeps one, of at most
/// <see cref="MostKept"/> bytes.
/// </summary>
internal sealed class FrameBuffer : IBufferWriter<byte>
{
    private const int Smallest = 1024;
    private const int MostKept = 65536;

    [ThreadStatic]
    private static FrameBuffer? _spare;

    // For the options that it was made for: indentation and escaping are the writer's.
    [ThreadStatic]
    private static Utf8JsonWriter? _spareJson;

    [ThreadStatic]
    private static JsonSerializerOptions? _options;

    private byte[] _bytes = [];
    private int _count;
    private Framing? _framing;

    public ReadOnlySpan<byte> Written => _bytes.AsSpan(0, _count);

    public static FrameBuffer Rent(Framing framing)
    {
        FrameBuffer buffer = _spare ?? new FrameBuffer();
        _spare = null;
        buffer._count = 0;
        buffer._framing = framing;
        return buffer;
    }

    public void Return()
    {
        if (_bytes.Length > MostKept)
        {
            _bytes = [];
        }

        _spare = this;
    }

    public void Serialize<T>(T value, JsonTypeInfo<T> typeInfo)
    {
        // Not shared with a converter that writes a message itself.
        Utf8JsonWriter? json = _spareJson;
        _spareJson = null;
        if (json is null || !ReferenceEquals(_options, typeInfo.Options))
        {
            json = new Utf8JsonWriter(this, Options(typeInfo.Options));
        }
        else
        {
            json.Reset(this);
        }

        JsonSerializer.Serialize(json, value, typeInfo);
        json.Flush();
        (_spareJson, _options) = (json, typeInfo.Options);
    }

    public void Advance(int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, _bytes.Length - _count);
        _count += count;
        if (_count > _framing!.MaxLength)
        {
            throw _framing.TooLongToWrite(_count);
        }
    }

    public Memory<byte> GetMemory(int sizeHint = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(sizeHint);
        int needed = Math.Max(sizeHint, 1);
        if (_bytes.Length - _count < needed)
        {
            // Twice as much each time, so that a byte is copied once on average.
            long size = Math.Max(Math.Max(2L * _bytes.Length, (long)_count + needed), Smallest);
            Array.Resize(ref _bytes, (int)Math.Min(size, Array.MaxLength));
        }

        return _bytes.AsMemory(_count);
    }

    public Span<byte> GetSpan(int sizeHint = 0) => GetMemory(sizeHint).Span;

    private static JsonWriterOptions Options(JsonSerializerOptions options) => new()
    {
        Encoder = options.Encoder,
        Indented = options.WriteIndented,
        IndentCharacter = options.IndentCharacter,
        IndentSize = options.IndentSize,
        NewLine = options.NewLine,
        MaxDepth = options.MaxDepth,
    };
}
