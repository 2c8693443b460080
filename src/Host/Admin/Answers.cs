using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace StreamsHost.Admin;

/// <summary>The kinds of answers.</summary>
internal static class Answers
{
    public static bool WantsJson(this HttpContext context) =>
        context.Request.Headers.Accept.ToString().Contains("application/json", StringComparison.OrdinalIgnoreCase);

    public static Task AnswerAsync<TAnswer>(this HttpContext context, TAnswer answer, JsonTypeInfo<TAnswer> type)
    {
        context.Response.ContentType = "application/json";
        return context.Response.Body.WriteAsync(JsonSerializer.SerializeToUtf8Bytes(answer, type), context.RequestAborted).AsTask();
    }

    public static Task AnswerAsync(this HttpContext context, string text)
    {
        context.Response.ContentType = "text/plain; charset=utf-8";
        return context.Response.WriteAsync(text, context.RequestAborted);
    }

    /// <summary>One line that says what is wrong with the request, or why it is not done.</summary>
    public static Task RefuseAsync(this HttpContext context, int status, string reason)
    {
        context.Response.StatusCode = status;
        return context.AnswerAsync(reason + "\n");
    }
}
