using System.Buffers;

namespace ByteStreams;

/// <summary>
/// Parses one message at the start of <paramref name="input"/>. Return true with the reader advanced past the message, or false if more
/// bytes are needed: then no byte is consumed, whatever the reader's position, and the parser is called again with more bytes.
/// </summary>
/// <typeparam name="T">What a message is parsed into.</typeparam>
/// <param name="input">
/// All buffered bytes. They are valid during the call only; in <see cref="ByteStreamReader.TryReadMessage{T}(MessageParser{T}, out T)"/>, until the next call on the reader.
/// </param>
/// <param name="message">The message, if the parser returns true.</param>
/// <returns>Whether the buffer starts with a whole message.</returns>
public delegate bool MessageParser<T>(ref SequenceReader<byte> input, out T message);
